// The text of a join link's token: join-ID-EXPIRES-WORKERS-SIGNATURE. Pure. The coordinator makes and checks the
// signature; a page reads only the id, which is not secret.

/** What a join link allows. */
export interface LinkTerms {
  /** Random id, which is not secret. */
  id: string;
  /** When the link expires, in seconds since 1970. */
  expires: number;
  /** Maximum number of workers that may be connected by the link at the same time. */
  maxWorkers: number;
}

const tokenPattern = /^(join-([0-9a-f]{16})-(\d{1,11})-(\d{1,6}))-([\w-]{43})$/;

/** The parts of a token. */
export interface JoinToken extends LinkTerms {
  /** The text that is signed: the token up to the signature. */
  signed: string;
  /** Unchecked signature. */
  signature: string;
}

/** Whether a token claims to be a join link's. */
export function isJoinToken(token: string): boolean {
  return token.startsWith('join-');
}

/** Returns the parts of a token; undefined if it is not a join link's. Does not check the signature. */
export function parseJoinToken(token: string): JoinToken | undefined {
  const match = tokenPattern.exec(token);
  if (match === null) return undefined;
  const [, signed, id, expires, maxWorkers, signature] = match;
  return { signed, id, expires: Number(expires), maxWorkers: Number(maxWorkers), signature };
}

/** Returns the part of a token that is signed. */
export function signedPartOf({ id, expires, maxWorkers }: LinkTerms): string {
  return `join-${id}-${expires}-${maxWorkers}`;
}
