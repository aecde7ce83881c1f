// The coordinator's certificate and whose certificates it asks for: files that are read again when they change, and what
// is wrong with what a peer showed, in words.
import { X509Certificate } from 'node:crypto';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import type { Clock } from '../../shared/clock.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { minTls, readCertificates, readKeyPair } from '../../shared/protocol/client-tls.js';
import { WatchedFiles } from './watched-files.js';

/** Files, under the names of their options. */
export interface ServerTlsFiles {
  tlsCert?: string | undefined;
  tlsKey?: string | undefined;
  /** Authorities of whose certificates workers must show one. */
  tlsClientCa?: string | undefined;
}

export class ServerTls {
  readonly #files: ServerTlsFiles;
  readonly #watched: WatchedFiles;
  #context: SecureContextOptions;

  private constructor(files: ServerTlsFiles) {
    this.#files = files;
    this.#watched = new WatchedFiles(Object.values(files).filter((file) => file !== undefined));
    this.#context = readContext(files);
  }

  /** Undefined where no TLS is asked for. Throws `bad-option` for files that cannot be used, or do not go together. */
  static of({ tlsCert, tlsKey, tlsClientCa }: ServerTlsFiles): ServerTls | undefined {
    if (tlsCert !== undefined || tlsKey !== undefined) return new ServerTls({ tlsCert, tlsKey, tlsClientCa });
    if (tlsClientCa === undefined) return undefined;
    throw new LockstepError(
      'bad-option',
      `--tls-client-ca ${tlsClientCa} is given without --tls-cert and --tls-key: only with these do workers speak TLS`,
    );
  }

  /** What was read when the files were last sound. */
  get context(): SecureContextOptions {
    return this.#context;
  }

  /** Whether peers must show a certificate. */
  get asksForCertificates(): boolean {
    return this.#files.tlsClientCa !== undefined;
  }

  /** What is wrong with the own certificate itself, in words: it has expired, or is of the future. */
  get trouble(): string | undefined {
    const { validFrom, validTo } = new X509Certificate(String(this.#context.cert));
    const name = `the certificate ${String(this.#files.tlsCert)}`;
    const remedy = 'no worker will trust it; put another in its place, which is read at once';
    if (Date.parse(validTo) < Date.now()) return `${name} has expired on ${validTo}: ${remedy}`;
    if (Date.parse(validFrom) > Date.now()) return `${name} is valid from ${validFrom} on only: ${remedy}`;
    return undefined;
  }

  /**
   * Looks at the files until the returned function is called.
   * @param onChange is given the new certificates for connections from then on
   * @param tell is told in words that they changed, or why they stay as they were
   */
  watch(clock: Clock, onChange: (context: SecureContextOptions) => void, tell: (message: string) => void): () => void {
    return this.#watched.watch(clock, () => {
      try {
        this.#context = readContext(this.#files);
        onChange(this.#context);
        tell('the certificates were read again');
        if (this.trouble !== undefined) tell(this.trouble);
      } catch (error) {
        tell(`the certificates stay as they were: ${messageOf(error)}`);
      }
    });
  }
}

function readContext({ tlsCert, tlsKey, tlsClientCa }: ServerTlsFiles): SecureContextOptions {
  return {
    ...readKeyPair(tlsCert, tlsKey),
    ...(tlsClientCa === undefined ? {} : { ca: readCertificates('tlsClientCa', tlsClientCa) }),
    minVersion: minTls,
  };
}

/** What is wrong with the certificate that a peer showed or did not show, and what mends it; undefined where nothing is. */
export function certificateTrouble(socket: TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  // Looked at first: Node calls a peer without one authorized where it resumes a session of its own.
  if (certificate === undefined) {
    return 'this coordinator asks for a certificate and none was shown: give one with --tls-cert and --tls-key';
  }
  if (socket.authorized) return undefined;
  const shown = `the certificate that was shown (${certificate.subject.replaceAll('\n', ', ')})`;
  // Node declares an Error and gives the code of one.
  const reason = String(socket.authorizationError);
  switch (reason) {
    case 'CERT_HAS_EXPIRED':
      return `${shown} has expired on ${certificate.validTo}: show a new one with --tls-cert and --tls-key`;
    case 'CERT_NOT_YET_VALID':
      return `${shown} is valid from ${certificate.validFrom} on only: compare the clocks, or show another`;
    case 'INVALID_PURPOSE':
      return `${shown} is not meant for clients: show one with the extended key usage clientAuth`;
    default:
      return `${shown} is of an authority that this coordinator does not know (${reason}): show one that --tls-client-ca there has signed`;
  }
}
