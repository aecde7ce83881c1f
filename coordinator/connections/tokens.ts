// Access tokens: who holds them, and what a role allows. Pure: token-file.ts reads them, http-access.ts finds them in
// requests. Only digests of tokens are kept in memory.
import { createHash, timingSafeEqual } from 'node:crypto';
import { LockstepError } from '../../shared/errors.js';

/** Actions that a role can allow, with their descriptions for error messages. */
const actions = {
  join: 'join as a worker',
  relay: 'join as a relay',
  read: 'read the status',
  operate: 'control the run',
};
export type Action = keyof typeof actions;

/** Actions by role. A small run needs only the owner's token. */
const permissions = {
  worker: ['join'],
  relay: ['join', 'relay'],
  viewer: ['read'],
  operator: ['read', 'operate'],
  owner: ['join', 'relay', 'read', 'operate'],
} as const satisfies Record<string, readonly Action[]>;

export type Role = keyof typeof permissions;
const roles = Object.keys(permissions) as Role[];

/** Minimum length of a token in a token file. 16 hexadecimal digits are 64 bits; shorter tokens can be guessed. */
const minTokenLength = 16;

export interface TokenHolder {
  /** Name of the holder, for display and logs. */
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

/** Returns the reason for refusing a known token. */
export function forbidden({ name, role }: TokenHolder, action: Action): string {
  return `the token of ${name} has the role ${role}, which may not ${actions[action]}`;
}

export class TokenTable {
  readonly #entries: readonly Entry[];

  private constructor(entries: readonly Entry[]) {
    this.#entries = entries;
  }

  /** Table without tokens; permitted on loopback only. */
  static readonly none = new TokenTable([]);

  /** Returns a table with a single token, which allows everything. */
  static ofOwner(token: string): TokenTable {
    return new TokenTable([{ name: 'owner', role: 'owner', digest: digestOf(token) }]);
  }

  /** Returns a table with a single token, which allows joining only; `train` generates one for its worker processes. */
  static ofWorkers(token: string): TokenTable {
    return new TokenTable([{ name: 'workers', role: 'worker', digest: digestOf(token) }]);
  }

  /**
   * Parses a token file. Each line is `NAME ROLE TOKEN`, or only a `TOKEN`, which becomes the owner's. Lines that start
   * with `#` are comments.
   * Throws `bad-option`; the message names the line but never quotes its token.
   * @param source name of the file, for error messages
   */
  static parse(text: string, source: string): TokenTable {
    const entries: Entry[] = [];
    for (const { name, role, token, location } of tokenLines(text, source)) {
      const digest = digestOf(token);
      const duplicate = entries.find((entry) => entry.name === name || entry.digest.equals(digest));
      if (duplicate !== undefined) {
        const what = duplicate.name === name ? `name ${name}` : `token of ${duplicate.name}`;
        throw invalid(location, `repeats the ${what}: give each holder a name and a token of its own`);
      }
      entries.push({ name, role, digest });
    }
    if (entries.length === 0) throw invalid(source, 'contains no tokens: add a line NAME ROLE TOKEN for each holder');
    return new TokenTable(entries);
  }

  /** Returns a table with the tokens of both tables. */
  with(other: TokenTable): TokenTable {
    return new TokenTable([...this.#entries, ...other.#entries]);
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Whether any token allows this action. */
  allow(action: Action): boolean {
    return this.#entries.some(({ role }) => mayDo(role, action));
  }

  /**
   * Returns the holder of a token, or undefined for an unknown token. Takes the same time in both cases, so that timing
   * reveals nothing.
   */
  holderOf(token: string): TokenHolder | undefined {
    const digest = digestOf(token);
    let found: TokenHolder | undefined;
    for (const entry of this.#entries) {
      if (timingSafeEqual(entry.digest, digest)) found = { name: entry.name, role: entry.role };
    }
    return found;
  }
}

/**
 * Returns the token in a worker's token file, whose format is that of TokenTable.parse. Throws `bad-option` unless the
 * file contains exactly one token.
 */
export function onlyTokenIn(text: string, source: string): string {
  const lines = [...tokenLines(text, source)];
  if (lines.length !== 1) {
    throw invalid(source, `contains ${lines.length === 0 ? 'no' : lines.length} tokens: a worker needs exactly one`);
  }
  return lines[0].token;
}

function* tokenLines(text: string, source: string): Generator<TokenHolder & { token: string; location: string }> {
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const fields = line
      .replace(/^\s*#.*/, '')
      .split(/\s+/)
      .filter((field) => field !== '');
    if (fields.length === 0) continue;
    const location = `line ${index + 1} of ${source}`;
    const [name, role, token] = fields.length === 1 ? ['owner', 'owner', fields[0]] : fields;
    if (token === undefined || fields.length > 3) {
      throw invalid(location, `has ${fields.length} fields: write NAME ROLE TOKEN, or TOKEN alone`);
    }
    // The message does not quote the field, which may be a token.
    if (!isRole(role))
      throw invalid(location, `has an unknown role: the second field must be one of ${roles.join(', ')}`);
    if (token.length < minTokenLength) {
      const remedy = `use at least ${minTokenLength}, for example from openssl rand -hex 24`;
      throw invalid(location, `has a token of ${token.length} characters, which can be guessed: ${remedy}`);
    }
    yield { name, role, token, location };
  }
}

function invalid(location: string, problem: string): LockstepError {
  return new LockstepError('bad-option', `${location} ${problem}`);
}

function isRole(field: string): field is Role {
  return Object.hasOwn(permissions, field);
}

/** Returns a token's digest. Digests have equal lengths, so comparing two of them always takes the same time. */
function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
