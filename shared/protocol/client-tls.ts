// What a program shows and trusts when it connects over TLS: PEM files, checked when they are read.
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { LockstepError, messageOf, systemCodeOf } from '../errors.js';

/** Neither side speaks anything older. */
export const minTls = 'TLSv1.2';

/** Files, under the names of their options. */
export interface ClientTlsFiles {
  /** Authorities to trust instead of the usual ones. */
  tlsCa?: string | undefined;
  /** The own certificate and its key, for a coordinator that asks for one. */
  tlsCert?: string | undefined;
  tlsKey?: string | undefined;
}

/** The same as PEM texts, in Node's words. */
export interface ClientTls {
  ca?: string;
  cert?: string;
  key?: string;
}

/** Throws `bad-option` naming the option and the file for one that cannot be read or does not hold what it should. */
export function readClientTls({ tlsCa, tlsCert, tlsKey }: ClientTlsFiles): ClientTls {
  return {
    ...(tlsCa === undefined ? {} : { ca: readCertificates('--tls-ca', tlsCa) }),
    ...readKeyPair(tlsCert, tlsKey),
  };
}

/** Throws `bad-option` for certificates where the connection is not encrypted. */
export function assertUseFor(tls: ClientTls, url: string): void {
  if (/^(wss|https):/.test(url) || Object.keys(tls).length === 0) return;
  throw new LockstepError(
    'bad-option',
    `the coordinator's URL is ${url}, which is not encrypted, and --tls-ca or --tls-cert is given: write wss:// or https:// where ` +
      'it speaks TLS, or leave these out',
  );
}

/** A certificate with its key, or neither. Throws `bad-option` for one alone, or two that do not belong together. */
export function readKeyPair(certFile?: string, keyFile?: string): { cert: string; key: string } | undefined {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    const [given, missing] = certFile === undefined ? ['--tls-key', '--tls-cert'] : ['--tls-cert', '--tls-key'];
    throw new LockstepError(
      'bad-option',
      `${given} is given without ${missing}: a certificate and its key go together`,
    );
  }
  const pair = { cert: readCertificates('--tls-cert', certFile), key: readPem('--tls-key', keyFile) };
  try {
    createSecureContext(pair);
  } catch (cause) {
    throw new LockstepError(
      'bad-option',
      `--tls-key ${keyFile} is no key of --tls-cert ${certFile} (${messageOf(cause)}): give the two that belong together`,
      { cause },
    );
  }
  return pair;
}

export function readCertificates(option: string, file: string): string {
  const pem = readPem(option, file);
  try {
    // Reads as if for authorities: any number of certificates, and nothing else.
    createSecureContext({ ca: pem });
    if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
  } catch (cause) {
    throw new LockstepError('bad-option', `${option} ${file} is no certificate in PEM (${messageOf(cause)})`, {
      cause,
    });
  }
  throw new LockstepError('bad-option', `${option} ${file} holds no certificate: it must be a PEM file`);
}

function readPem(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new LockstepError(
      'bad-option',
      `${option} ${file} cannot be read (${systemCodeOf(cause) ?? messageOf(cause)})`,
      { cause },
    );
  }
}
