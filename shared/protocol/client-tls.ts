// Reads and checks the PEM files of a client that connects to a coordinator over TLS.
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { LockstepError, messageOf, systemCodeOf } from '../errors.js';

/** Oldest TLS version that either side accepts. */
export const minTls = 'TLSv1.2';

/** Paths of PEM files. */
export interface ClientTlsFiles {
  /** CA certificates to trust instead of the default ones. */
  tlsCa?: string | undefined;
  /** Client certificate, for a coordinator that requires one. */
  tlsCert?: string | undefined;
  /** Private key of `tlsCert`. */
  tlsKey?: string | undefined;
}

/** Contents of the PEM files, under the option names that Node.js uses. */
export interface ClientTls {
  ca?: string;
  cert?: string;
  key?: string;
}

/**
 * Reads the PEM files. Throws `bad-option`, naming the option and the file, if a file cannot be read or is not what its
 * option requires.
 */
export function readClientTls({ tlsCa, tlsCert, tlsKey }: ClientTlsFiles): ClientTls {
  return {
    ...(tlsCa === undefined ? {} : { ca: readCertificates('tlsCa', tlsCa) }),
    ...readKeyPair(tlsCert, tlsKey),
  };
}

/** Throws `bad-option` if TLS files are specified for a connection that is not encrypted. */
export function assertEncryptedUrl(tls: ClientTls, url: string): void {
  if (/^(wss|https):/.test(url) || Object.keys(tls).length === 0) return;
  throw new LockstepError(
    'bad-option',
    `\`url\` is ${url}, which is not encrypted, but \`tlsCa\` or \`tlsCert\` is given: use wss:// or https:// if the ` +
      'coordinator uses TLS, or omit these options',
  );
}

/** Reads a certificate and its key. Throws `bad-option` if only one of them is specified or if they do not match. */
export function readKeyPair(tlsCert?: string, tlsKey?: string): { cert: string; key: string } | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    const [given, missing] = tlsCert === undefined ? ['tlsKey', 'tlsCert'] : ['tlsCert', 'tlsKey'];
    throw new LockstepError('bad-option', `\`${given}\` is given without \`${missing}\`: give both, or neither`);
  }
  const pair = { cert: readCertificates('tlsCert', tlsCert), key: readPem('tlsKey', tlsKey) };
  try {
    createSecureContext(pair);
  } catch (cause) {
    throw badFile('tlsKey', tlsKey, `it is not the key of \`tlsCert\` ${tlsCert} (${messageOf(cause)})`, cause);
  }
  return pair;
}

/**
 * Reads a PEM file of one or more certificates.
 * @param option name of the option, for error messages
 */
export function readCertificates(option: string, file: string): string {
  const pem = readPem(option, file);
  try {
    // Check the file by passing it as `ca`, which accepts any number of certificates and nothing else.
    createSecureContext({ ca: pem });
  } catch (cause) {
    throw badFile(option, file, `it is not a certificate in PEM format (${messageOf(cause)})`, cause);
  }
  if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
  throw badFile(option, file, 'it contains no certificate in PEM format');
}

function readPem(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw badFile(option, file, `it cannot be read (${systemCodeOf(cause) ?? messageOf(cause)})`, cause);
  }
}

function badFile(option: string, file: string, problem: string, cause?: unknown): LockstepError {
  return new LockstepError('bad-option', `\`${option}\` is ${file}: ${problem}`, { cause });
}
