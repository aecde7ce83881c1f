// Generates certificate authorities and certificates for tests.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { generate } from 'selfsigned';

const dayMs = 24 * 3600 * 1000;

export interface CertificateFiles {
  cert: string;
  key: string;
}

interface CertificateRequest {
  /** Subject name, also used for the names of the files. */
  name: string;
  /** Days until the certificate expires; negative if it has already expired. */
  days?: number;
  /** DNS names and IP addresses for which the certificate is valid. */
  hosts?: readonly string[];
}

export class Authority {
  readonly #folder: string;
  readonly #pem: { cert: string; key: string };
  /** Path of the CA's own certificate. */
  readonly file: string;

  private constructor(folder: string, name: string, pem: { cert: string; key: string }) {
    this.#folder = folder;
    this.#pem = pem;
    this.file = path.join(folder, `${name}.pem`);
    writeFileSync(this.file, pem.cert);
  }

  static async make(folder: string, name: string): Promise<Authority> {
    const made = await generate([{ name: 'commonName', value: name }], {
      keyType: 'ec',
      algorithm: 'sha256',
      extensions: [
        { name: 'basicConstraints', cA: true, critical: true },
        { name: 'keyUsage', keyCertSign: true, critical: true },
      ],
    });
    return new Authority(folder, name, { cert: made.cert, key: made.private });
  }

  /** Issues a certificate for servers and clients, and writes it and its key to files. */
  async sign({ name, days = 30, hosts = ['127.0.0.1', 'localhost'] }: CertificateRequest): Promise<CertificateFiles> {
    const now = Date.now();
    const made = await generate([{ name: 'commonName', value: name }], {
      keyType: 'ec',
      algorithm: 'sha256',
      notBeforeDate: new Date(now - 60 * dayMs),
      notAfterDate: new Date(now + days * dayMs),
      ca: this.#pem,
      extensions: [
        { name: 'basicConstraints', cA: false },
        { name: 'keyUsage', digitalSignature: true },
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        {
          name: 'subjectAltName',
          altNames: hosts.map((host) => (/^[\d.]+$/.test(host) ? { type: 7, ip: host } : { type: 2, value: host })),
        },
      ],
    });
    const files = { cert: path.join(this.#folder, `${name}.crt`), key: path.join(this.#folder, `${name}.key`) };
    writeFileSync(files.cert, made.cert);
    writeFileSync(files.key, made.private, { mode: 0o600 });
    return files;
  }
}
