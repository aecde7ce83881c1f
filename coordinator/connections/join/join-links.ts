// A run's join links: the current one, and the ids of the revoked ones. They are in a file of the run directory together
// with the key that signs them, so a link stays valid, or revoked, when the coordinator is restarted.
import { randomBytes } from 'node:crypto';
import { closeSync, fchmodSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { LockstepError, messageOf, systemCodeOf } from '../../../shared/errors.js';
import { parseJson } from '../../../shared/json.js';
import type { LinkTerms } from '../../../shared/protocol/join-token.js';
import { signLink, verifyLink } from './link-token.js';

const fileName = 'join-link.json';
const keyBytes = 32;

const storedLinks = z.strictObject({
  /** HMAC key in base64url. Whoever has it can make valid links. */
  key: z.string().regex(/^[\w-]{43}$/),
  /** The current link; null after it has been revoked. */
  link: z
    .strictObject({
      id: z.string().regex(/^[0-9a-f]{16}$/),
      expires: z.int().positive(),
      maxWorkers: z.int().positive(),
    })
    .nullable(),
  /** Ids of revoked links. */
  revoked: z.array(z.string()),
});

/** What new links allow. */
export interface NewLinkTerms {
  /** Time until a new link expires, in milliseconds. */
  expiresMs: number;
  maxWorkers: number;
}

/** A valid link and its token. */
export interface JoinLink extends LinkTerms {
  token: string;
}

/** Whether a link can be used: its terms, or why it cannot. */
export type LinkState = { problem: null; terms: LinkTerms } | { problem: 'expired' | 'revoked' | 'unknown' };

export class JoinLinks {
  readonly #file: string;
  readonly #newTerms: NewLinkTerms;
  readonly #now: () => number;
  readonly #key: Uint8Array;
  readonly #revoked: Set<string>;
  #link: LinkTerms | null;

  /**
   * Reads the links of a run directory. Creates a link if there is none, or if it has expired or been revoked. Writes
   * nothing: call save() when the run directory exists.
   * Throws `bad-data` if the file is damaged or cannot be read.
   * @param now returns the time in milliseconds since 1970
   */
  constructor(runDirectory: string, newTerms: NewLinkTerms, now: () => number = Date.now) {
    this.#file = path.join(runDirectory, fileName);
    this.#newTerms = newTerms;
    this.#now = now;
    const stored = readLinks(this.#file);
    this.#key = stored === undefined ? randomBytes(keyBytes) : Buffer.from(stored.key, 'base64url');
    this.#revoked = new Set(stored?.revoked);
    this.#link = stored?.link ?? null;
    if (this.current === undefined) this.#link = this.#newLink();
  }

  /** The current link; undefined if it has expired or has been revoked. */
  get current(): JoinLink | undefined {
    const link = this.#link;
    if (link === null || this.#hasExpired(link)) return undefined;
    return { ...link, token: signLink(link, this.#key) };
  }

  /** Returns whether a token can be used. */
  check(token: string): LinkState {
    const terms = verifyLink(token, this.#key);
    if (terms === undefined) return { problem: 'unknown' };
    return this.#stateOf(terms);
  }

  /** Returns whether the link with this id can be used. Only the current link and revoked links are known by id. */
  checkId(id: string): LinkState {
    if (this.#revoked.has(id)) return { problem: 'revoked' };
    return this.#link?.id === id ? this.#stateOf(this.#link) : { problem: 'unknown' };
  }

  /** Replaces a link that has expired or has been revoked. Throws `save-failed`. */
  create(): void {
    this.#link = this.#newLink();
    this.save();
  }

  /** Revokes the current link. Throws `save-failed`; the link is then revoked until the coordinator is restarted. */
  revoke(): void {
    if (this.#link === null) return;
    this.#revoked.add(this.#link.id);
    this.#link = null;
    this.save();
  }

  /**
   * Writes the links, readable by this user only. Synchronous, so that a revocation is on disk before it is confirmed.
   * Throws `save-failed`.
   */
  save(): void {
    const content: z.infer<typeof storedLinks> = {
      key: Buffer.from(this.#key).toString('base64url'),
      link: this.#link,
      revoked: [...this.#revoked],
    };
    try {
      writePrivate(`${this.#file}.partial`, `${JSON.stringify(content, null, 2)}\n`);
      renameSync(`${this.#file}.partial`, this.#file);
    } catch (cause) {
      throw new LockstepError('save-failed', `cannot write ${this.#file}: ${messageOf(cause)}`, { cause });
    }
  }

  #stateOf(terms: LinkTerms): LinkState {
    if (this.#revoked.has(terms.id)) return { problem: 'revoked' };
    return this.#hasExpired(terms) ? { problem: 'expired' } : { problem: null, terms };
  }

  #hasExpired({ expires }: LinkTerms): boolean {
    return 1000 * expires <= this.#now();
  }

  #newLink(): LinkTerms {
    const { expiresMs, maxWorkers } = this.#newTerms;
    return {
      id: randomBytes(8).toString('hex'),
      expires: Math.ceil((this.#now() + expiresMs) / 1000),
      maxWorkers,
    };
  }
}

/** Returns the content of the file; undefined if it does not exist. */
function readLinks(file: string): z.infer<typeof storedLinks> | undefined {
  const unusable = (why: string, cause?: unknown) =>
    new LockstepError('bad-data', `${file} ${why}: delete it to create a new join link`, { cause });
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if (systemCodeOf(cause) === 'ENOENT') return undefined;
    throw unusable(`cannot be read (${systemCodeOf(cause) ?? messageOf(cause)})`, cause);
  }
  const { data, success } = storedLinks.safeParse(parseJson(text));
  if (!success) throw unusable('is damaged');
  return data;
}

/** Writes a file that only this user can read. */
function writePrivate(file: string, text: string): void {
  const descriptor = openSync(file, 'w', 0o600);
  try {
    // The mode above does not apply to a file that a killed coordinator left.
    fchmodSync(descriptor, 0o600);
    writeFileSync(descriptor, text);
  } finally {
    closeSync(descriptor);
  }
}
