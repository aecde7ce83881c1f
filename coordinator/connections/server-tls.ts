// The coordinator's certificate, and the CA of its workers' certificates. The files are reloaded when they change.
import { X509Certificate } from 'node:crypto';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import type { Clock } from '../../shared/clock.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { minTls, readCertificates, readKeyPair } from '../../shared/protocol/client-tls.js';
import { WatchedFiles } from './watched-files.js';

/** Paths of PEM files. */
export interface ServerTlsFiles {
  /** The coordinator's certificate. The port uses TLS if both `tlsCert` and `tlsKey` are set. */
  tlsCert?: string | undefined;
  /** Private key of `tlsCert`. */
  tlsKey?: string | undefined;
  /** CA certificates; workers must present a certificate signed by one of these CAs. */
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

  /**
   * Loads the given files; returns undefined if none are given. Throws `bad-option` if a file is missing or unusable,
   * or if the files do not match.
   */
  static of({ tlsCert, tlsKey, tlsClientCa }: ServerTlsFiles): ServerTls | undefined {
    if (tlsCert !== undefined || tlsKey !== undefined) return new ServerTls({ tlsCert, tlsKey, tlsClientCa });
    if (tlsClientCa === undefined) return undefined;
    throw new LockstepError(
      'bad-option',
      '`tlsClientCa` is given without `tlsCert` and `tlsKey`: client certificates require TLS, so give all three',
    );
  }

  /** Last valid contents of the files. */
  get context(): SecureContextOptions {
    return this.#context;
  }

  get requiresClientCertificates(): boolean {
    return this.#files.tlsClientCa !== undefined;
  }

  /** Why clients currently reject the coordinator's certificate; undefined if its dates are valid. */
  get certificateProblem(): string | undefined {
    const { validFrom, validTo } = new X509Certificate(String(this.#context.cert));
    const certificate = `the certificate ${String(this.#files.tlsCert)}`;
    const remedy = 'workers will not trust it; replace the file, and it will be reloaded';
    if (Date.parse(validTo) < Date.now()) return `${certificate} expired on ${validTo}: ${remedy}`;
    if (Date.parse(validFrom) > Date.now()) return `${certificate} is not valid before ${validFrom}: ${remedy}`;
    return undefined;
  }

  /**
   * Reloads the files when they change, until the returned function is called.
   * @param onChange receives the new certificates, to be used for new connections
   * @param onMessage receives a log message: the files were reloaded, or why they were not
   */
  watch(
    clock: Clock,
    onChange: (context: SecureContextOptions) => void,
    onMessage: (message: string) => void,
  ): () => void {
    return this.#watched.watch(clock, () => {
      try {
        this.#context = readContext(this.#files);
        onChange(this.#context);
        onMessage('reloaded the certificates');
        if (this.certificateProblem !== undefined) onMessage(this.certificateProblem);
      } catch (error) {
        onMessage(`kept the previous certificates: ${messageOf(error)}`);
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

/** Returns why a client's certificate is rejected and what to do about it; undefined if it is accepted. */
export function clientCertificateProblem(socket: TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  // Checked first because Node.js reports a client without a certificate as authorized in a resumed TLS session.
  if (certificate === undefined) {
    return 'this coordinator requires a client certificate: set `tlsCert` and `tlsKey`';
  }
  if (socket.authorized) return undefined;
  const name = `the client certificate (${certificate.subject.replaceAll('\n', ', ')})`;
  // The type declares an Error, but Node.js stores the error's code, a string.
  const reason = String(socket.authorizationError);
  switch (reason) {
    case 'CERT_HAS_EXPIRED':
      return `${name} expired on ${certificate.validTo}: renew \`tlsCert\``;
    case 'CERT_NOT_YET_VALID':
      return `${name} is not valid before ${certificate.validFrom}: check the clocks, or use another \`tlsCert\``;
    case 'INVALID_PURPOSE':
      return `${name} is not for clients: issue one with the extended key usage clientAuth`;
    default:
      return `${name} is signed by an unknown CA (${reason}): use one signed by the coordinator's \`tlsClientCa\``;
  }
}
