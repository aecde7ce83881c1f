// Who holds which token and what that allows. Pure: where tokens are read from is token-file.ts's business, and how a
// request shows one is http-access.ts's. Tokens themselves are not kept, only their digests.
import { createHash, timingSafeEqual } from 'node:crypto';
import { LockstepError } from '../../shared/errors.js';

/** What somebody may want at the coordinator's port. */
export type Action = 'join' | 'read' | 'operate';

/** What the holder of a token may do. An owner's token is the only one of a small run. */
const permissions = {
  worker: ['join'],
  viewer: ['read'],
  operator: ['read', 'operate'],
  owner: ['join', 'read', 'operate'],
} as const satisfies Record<string, readonly Action[]>;

export type Role = keyof typeof permissions;
const roles = Object.keys(permissions) as Role[];

/** A shorter token in a file can be guessed. 16 characters of hexadecimal are 64 bits. */
const minToken = 16;

/** Whom a token belongs to. */
export interface TokenHolder {
  /** For people and logs. */
  name: string;
  role: Role;
}

interface Entry extends TokenHolder {
  digest: Buffer;
}

export function mayDo(role: Role, action: Action): boolean {
  const allowed: readonly Action[] = permissions[role];
  return allowed.includes(action);
}

export class TokenTable {
  readonly #entries: readonly Entry[];

  private constructor(entries: readonly Entry[]) {
    this.#entries = entries;
  }

  /** No token at all: only fit for loopback. */
  static readonly none = new TokenTable([]);

  /** One token that allows everything. */
  static ofOwner(token: string): TokenTable {
    return new TokenTable([{ name: 'owner', role: 'owner', digest: digestOf(token) }]);
  }

  /** One token that allows to join and nothing else: what a run gives its own worker processes. */
  static ofWorkers(token: string): TokenTable {
    return new TokenTable([{ name: 'workers', role: 'worker', digest: digestOf(token) }]);
  }

  /**
   * Reads a token file: one `NAME ROLE TOKEN` a line, or a `TOKEN` alone, which is an owner's; `#` begins a comment.
   * @param source how the file is called in error messages
   * Throws `bad-option` naming the line, never its token.
   */
  static parse(text: string, source: string): TokenTable {
    const entries: Entry[] = [];
    for (const { name, role, token, place } of tokenLines(text, source)) {
      const digest = digestOf(token);
      const twin = entries.find((entry) => entry.name === name || entry.digest.equals(digest));
      if (twin !== undefined) {
        const what = twin.name === name ? `a second token called ${name}` : `the same token as ${twin.name}'s`;
        throw new LockstepError('bad-option', `${place} has ${what}: give every holder a name and a token`);
      }
      entries.push({ name, role, digest });
    }
    if (entries.length === 0) {
      throw new LockstepError('bad-option', `${source} holds no token: write a line NAME ROLE TOKEN for each holder`);
    }
    return new TokenTable(entries);
  }

  /** Whether there is no token that anybody could show. */
  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Whether some token allows this. */
  allow(action: Action): boolean {
    return this.#entries.some(({ role }) => mayDo(role, action));
  }

  /** Whose token this is, or undefined. Takes the same time wherever and whether it is found. */
  holderOf(token: string): TokenHolder | undefined {
    const digest = digestOf(token);
    let found: TokenHolder | undefined;
    for (const entry of this.#entries) {
      if (timingSafeEqual(entry.digest, digest)) found = { name: entry.name, role: entry.role };
    }
    return found;
  }

  /** What a token allows, or undefined for one that is nobody's. */
  roleOf(token: string): Role | undefined {
    return this.holderOf(token)?.role;
  }
}

/** The one token of a worker's file, in either form. Throws `bad-option` where there is none or more than one. */
export function onlyTokenIn(text: string, source: string): string {
  const [line, ...others] = tokenLines(text, source);
  if (line === undefined || others.length > 0) {
    throw new LockstepError(
      'bad-option',
      `${source} holds ${line === undefined ? 'no token' : `${others.length + 1} tokens`}: a worker shows exactly one`,
    );
  }
  return line.token;
}

function tokenLines(text: string, source: string): { name: string; role: Role; token: string; place: string }[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    const words = line
      .replace(/^\s*#.*/, '')
      .split(/\s+/)
      .filter((word) => word !== '');
    if (words.length === 0) return [];
    const place = `line ${index + 1} of ${source}`;
    const [name, role, token] = words.length === 1 ? ['owner', 'owner', words[0]] : words;
    if (token === undefined || words.length > 3) {
      throw new LockstepError('bad-option', `${place} has ${words.length} words: it must be NAME ROLE TOKEN, or TOKEN`);
    }
    if (!isRole(role)) {
      // Not the word that stands there: it may be a token.
      throw new LockstepError('bad-option', `${place} names no role: the second word must be ${roles.join(', ')}`);
    }
    if (token.length < minToken) {
      throw new LockstepError(
        'bad-option',
        `${place} has a token of ${token.length} characters, which can be guessed: give at least ${minToken}, ` +
          'for example those of `openssl rand -hex 24`',
      );
    }
    return [{ name, role, token, place }];
  });
}

function isRole(word: string): word is Role {
  return Object.hasOwn(permissions, word);
}

/** Digests have one length, so that comparing them takes one time. */
function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
