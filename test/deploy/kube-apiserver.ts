// A Kubernetes API server with etcd on loopback that keeps all state in a folder. It applies defaults, validation and
// admission like a cluster. There are no nodes and no controllers, so no pods are started.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import path from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../support/free-port.js';
import { endDaemons } from './end-daemons.js';

const run = promisify(execFile);

/** Fields of a Kubernetes object that determine its API path. */
export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string };
}

/** Response from the server. */
export interface Answer {
  status: number;
  /** Message in the `Status` object if the request was rejected; otherwise empty. */
  message: string;
  body: unknown;
}

/** Returns the path of etcd, from LOCKSTEP_ETCD or PATH; undefined if it is not installed. */
export function etcdProgram(): string | undefined {
  const candidates = (process.env['PATH'] ?? '').split(':').map((folder) => path.join(folder, 'etcd'));
  return process.env['LOCKSTEP_ETCD'] ?? candidates.find((file) => existsSync(file));
}

export class KubeApiServer {
  readonly #processes: ChildProcess[] = [];
  readonly #token = randomBytes(16).toString('hex');
  readonly #resources = new Map<string, { name: string; isNamespaced: boolean }>();
  #authority: Buffer = Buffer.alloc(0);
  #port = 0;
  #log = '';

  private constructor(private readonly folder: string) {}

  /** @param programs paths of kube-apiserver and etcd */
  static async start(folder: string, programs: { apiServer: string; etcd: string }): Promise<KubeApiServer> {
    const server = new KubeApiServer(folder);
    await server.#start(programs).catch(async (error: unknown) => {
      await server.stop();
      throw new Error(`the API server did not start:\n${server.#log}`, { cause: error });
    });
    return server;
  }

  async #start({ apiServer, etcd }: { apiServer: string; etcd: string }): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const inFolder = (name: string) => path.join(this.folder, name);
    const [clients, peers] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
    this.#port = await freePort();
    this.#spawn(etcd, {
      'data-dir': inFolder('etcd'),
      'listen-client-urls': clients,
      'advertise-client-urls': clients,
      'listen-peer-urls': peers,
      'initial-advertise-peer-urls': peers,
      'initial-cluster': `default=${peers}`,
    });
    await run('openssl', ['genpkey', '-algorithm', 'RSA', '-out', inFolder('accounts.key')]);
    await writeFile(inFolder('tokens.csv'), `${this.#token},admin,admin,system:masters\n`, { mode: 0o600 });
    this.#spawn(apiServer, {
      'etcd-servers': clients,
      'bind-address': '127.0.0.1',
      'secure-port': String(this.#port),
      'cert-dir': inFolder('certificates'),
      'service-account-issuer': 'https://kubernetes.default.svc',
      'service-account-key-file': inFolder('accounts.key'),
      'service-account-signing-key-file': inFolder('accounts.key'),
      'service-cluster-ip-range': '10.0.0.0/24',
      'token-auth-file': inFolder('tokens.csv'),
      'authorization-mode': 'AlwaysAllow',
    });
    const certificate = inFolder('certificates/apiserver.crt');
    while (!(await this.#isReady(certificate))) {
      const ended = this.#processes.find(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
      if (ended !== undefined) throw new Error(`${ended.spawnfile} has ended`);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }

  async #isReady(certificate: string): Promise<boolean> {
    try {
      this.#authority = await readFile(certificate);
      return (await this.request('GET', '/readyz')).status === 200;
    } catch {
      return false;
    }
  }

  #spawn(program: string, settings: Record<string, string>): void {
    const words = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    // The kernel kills the daemon when this process ends.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#log += text;
      });
    }
    this.#processes.push(child);
  }

  /** Options that make kubectl use this server and ignore all other configuration. */
  get kubectlOptions(): string[] {
    return [
      `--server=https://127.0.0.1:${this.#port}`,
      `--certificate-authority=${path.join(this.folder, 'certificates/apiserver.crt')}`,
      `--token=${this.#token}`,
      `--cache-dir=${path.join(this.folder, 'kubectl')}`,
      '--kubeconfig=/dev/null',
    ];
  }

  async request(method: string, requestPath: string, body?: string): Promise<Answer> {
    const headers = { authorization: `Bearer ${this.#token}`, 'content-type': 'application/yaml' };
    const options = { host: '127.0.0.1', port: this.#port, path: requestPath, method, ca: this.#authority, headers };
    const sent = request(options).end(body);
    const [answer] = (await once(sent, 'response')) as [AsyncIterable<Buffer> & { statusCode: number }];
    const bytes: Buffer[] = [];
    for await (const chunk of answer) bytes.push(chunk);
    const text = Buffer.concat(bytes).toString();
    const parsed: unknown = text.startsWith('{') ? JSON.parse(text) : text;
    return { status: answer.statusCode, message: (parsed as { message?: string }).message ?? '', body: parsed };
  }

  /**
   * Creates an object with the same strict validation as `kubectl apply`: unknown fields are errors.
   * @param dry true to validate the object without storing it
   */
  async create(object: KubernetesObject, dry: boolean): Promise<Answer> {
    const query = `fieldValidation=Strict${dry ? '&dryRun=All' : ''}`;
    return this.request('POST', `${await this.#collection(object)}?${query}`, JSON.stringify(object));
  }

  /** Returns the API path for an object's kind, from the server's discovery API. */
  async #collection({ apiVersion, kind, metadata }: KubernetesObject): Promise<string> {
    const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const key = `${group} ${kind}`;
    if (!this.#resources.has(key)) {
      const { body } = await this.request('GET', group);
      const { resources = [] } = body as { resources?: { name: string; kind: string; namespaced: boolean }[] };
      // Names with a slash are subresources, such as `scale`.
      for (const { name, kind: of, namespaced } of resources.filter((resource) => !resource.name.includes('/'))) {
        this.#resources.set(`${group} ${of}`, { name, isNamespaced: namespaced });
      }
    }
    const resource = this.#resources.get(key);
    if (resource === undefined) throw new Error(`the server has no ${kind} in ${apiVersion}`);
    const namespace = resource.isNamespaced ? `/namespaces/${metadata.namespace}` : '';
    return `${group}${namespace}/${resource.name}`;
  }

  async stop(): Promise<void> {
    await endDaemons(this.#processes);
  }
}
