// `docker build` without Docker: executes a Dockerfile's instructions in folders. In place of base images, it uses
// Debian from debootstrap and Node.js from its npm package. Supports only the instructions that deploy/docker uses, and
// rejects all others.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { DockerfileParser, type Arg, type Copy, type Env, type From, type Instruction } from 'dockerfile-ast';
import { inRoot, withIdentity, type Mount } from './chroot.js';

const run = promisify(execFile);
const maxBuffer = 1 << 26;

/** Returns the reason why this machine cannot build images; undefined if it can. */
export function whyNoImages(): string | undefined {
  if (process.platform !== 'linux') return 'images are built on Linux';
  if (process.getuid?.() !== 0) return 'building an image needs root';
  const folders = (process.env['PATH'] ?? '').split(':');
  const missing = ['debootstrap', 'unshare', 'nsenter', 'setpriv', 'ip', 'git'].filter(
    (program) => !folders.some((folder) => existsSync(path.join(folder, program))),
  );
  return missing.length === 0
    ? undefined
    : `${missing.join(', ')} missing: apt-get install --no-install-recommends debootstrap util-linux iproute2 git`;
}

/** OCI image configuration: defaults for containers that run the image. */
export interface ImageConfig {
  environment: Record<string, string>;
  user: string;
  folder: string;
  entrypoint: string[];
  command: string[];
  volumes: string[];
  stopSignal: string;
}

export interface Image {
  /** Folder that contains the image's root file system. */
  root: string;
  config: ImageConfig;
}

interface Stage extends Image {
  /** Cache key, derived from the instructions. As in Docker, identical stages are built only once. */
  key: string;
}

const path_ = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export class ImageBuilder {
  readonly #stages = new Map<string, Promise<Stage>>();
  #folders = 0;

  /**
   * @param folder folder for all build output
   * @param checkout repository whose tracked files, except those that .dockerignore excludes, are the build context
   */
  constructor(
    private readonly folder: string,
    private readonly checkout: string,
  ) {}

  /** @param buildArguments values for build arguments, as with `--build-arg` */
  async build(dockerfile: string, buildArguments: Record<string, string> = {}): Promise<Image> {
    const parsed = DockerfileParser.parse(await readFile(path.join(this.checkout, dockerfile), 'utf8'));
    const valueOf = (argument: Arg): [string, string] => {
      const { name, value } = propertyOf(argument);
      return [name, buildArguments[name] ?? value];
    };
    const global = Object.fromEntries(parsed.getInitialARGs().map(valueOf));
    const named = new Map<string, Stage>();
    let current: Stage | undefined;
    const stages: { from: From; instructions: Instruction[] }[] = [];
    for (const instruction of parsed.getInstructions()) {
      if (instruction.getKeyword() === 'FROM') stages.push({ from: instruction as From, instructions: [] });
      else stages.at(-1)?.instructions.push(instruction);
    }
    for (const { from, instructions } of stages) {
      const image = from.getImage()!.replaceAll(/\$\{?(\w+)\}?/g, (_, name: string) => global[name]);
      const base = named.get(image) ?? (await this.#once(image, () => this.#base(image)));
      current = await this.#stage(base, instructions, named, valueOf);
      const name = from.getBuildStage();
      if (name !== null) named.set(name, current);
    }
    return current!;
  }

  async #once(key: string, make: () => Promise<Image>): Promise<Stage> {
    const made = this.#stages.get(key) ?? make().then((image) => ({ ...image, key }));
    this.#stages.set(key, made);
    return made;
  }

  #newFolder(): string {
    return path.join(this.folder, String(++this.#folders));
  }

  #stage(
    base: Stage,
    instructions: readonly Instruction[],
    named: ReadonlyMap<string, Stage>,
    valueOf: (argument: Arg) => [string, string],
  ): Promise<Stage> {
    const words = instructions.map((instruction) => {
      const source = instruction.getKeyword() === 'COPY' ? (instruction as Copy).getFromFlag()?.getValue() : undefined;
      const argument = instruction.getKeyword() === 'ARG' ? valueOf(instruction as Arg).join('=') : '';
      return [instruction.toString(), argument, source ? named.get(source)?.key : ''];
    });
    if (words.length === 0) return Promise.resolve(base);
    return this.#once(JSON.stringify([base.key, words]), async () => {
      const stage: Image = { root: this.#newFolder(), config: structuredClone(base.config) };
      await copyTree(base.root, stage.root);
      const buildArguments: Record<string, string> = {};
      for (const instruction of instructions) {
        if (instruction.getKeyword() === 'ARG') {
          const [name, value] = valueOf(instruction as Arg);
          buildArguments[name] = value;
        } else await this.#carryOut(instruction, stage, buildArguments, named);
      }
      return stage;
    });
  }

  async #carryOut(
    instruction: Instruction,
    { root, config }: Image,
    buildArguments: Record<string, string>,
    named: ReadonlyMap<string, Stage>,
  ): Promise<void> {
    const text = instruction.getArgumentsContent() ?? '';
    const keyword = instruction.getKeyword();
    switch (keyword) {
      case 'ENV':
        for (const property of (instruction as Env).getProperties()) {
          config.environment[property.getName()] = property.getValue() ?? '';
        }
        break;
      case 'WORKDIR':
        config.folder = path.posix.resolve(config.folder, text);
        await mkdir(path.join(root, config.folder), { recursive: true });
        break;
      case 'USER':
        config.user = text;
        break;
      case 'RUN': {
        const environment = { ...config.environment, ...buildArguments, ...(await machineSettings(this.folder)) };
        const identity = await withIdentity(root, { user: config.user, environment, folder: config.folder });
        await inside(root, [...identity, '/bin/sh', '-c', text], [await machineFolder(this.folder)]);
        break;
      }
      case 'COPY':
        await this.#copy(instruction as Copy, { root, config }, named);
        break;
      case 'VOLUME':
        config.volumes.push(...text.split(/\s+/));
        break;
      case 'ENTRYPOINT':
        config.entrypoint = jsonWords(text);
        config.command = [];
        break;
      case 'CMD':
        config.command = jsonWords(text);
        break;
      case 'STOPSIGNAL':
        config.stopSignal = text;
        break;
      case 'EXPOSE':
        break;
      default:
        throw new Error(`${keyword} is not supported: ${instruction.toString()}`);
    }
  }

  async #copy(instruction: Copy, { root, config }: Image, named: ReadonlyMap<string, Stage>): Promise<void> {
    const flags = instruction.getFlags().map((flag) => flag.getName());
    if (flags.some((flag) => flag !== 'from')) throw new Error(`only --from is supported: ${instruction.toString()}`);
    const stage = instruction.getFromFlag()?.getValue();
    const source = stage ? named.get(stage)!.root : await this.#context();
    const words = instruction.getArguments().map((argument) => argument.getValue());
    const target = words.pop()!;
    const destination = path.join(root, path.posix.resolve(config.folder, target));
    for (const word of words) {
      const from = path.join(source, word);
      if ((await stat(from)).isDirectory()) await copyTree(from, destination);
      else if (target.endsWith('/')) {
        await mkdir(destination, { recursive: true });
        await copyTree(from, path.join(destination, path.basename(from)));
      } else await copyTree(from, destination);
    }
  }

  /** Copies the build context to a folder: the tracked files, except those that .dockerignore excludes. */
  async #context(): Promise<string> {
    const { root } = await this.#once('context', async () => {
      const folder = this.#newFolder();
      const lines = (await readFile(path.join(this.checkout, '.dockerignore'), 'utf8')).split('\n');
      const ignored = lines.filter((line) => line !== '' && !line.startsWith('#'));
      const unsupported = ignored.find((line) => !/^[\w.-]+$/.test(line));
      if (unsupported !== undefined) throw new Error(`.dockerignore: ${unsupported} is not a plain name`);
      const { stdout } = await run('git', ['ls-files', '-z'], { cwd: this.checkout, maxBuffer });
      for (const file of stdout.split('\0')) {
        if (file === '' || ignored.includes(file.split('/')[0])) continue;
        await cp(path.join(this.checkout, file), path.join(folder, file), { recursive: true });
      }
      await run('chown', ['--recursive', '0:0', folder]);
      return { root: folder, config: emptyConfig() };
    });
    return root;
  }

  /**
   * Creates a substitute for a base image: Debian from debootstrap, on which the official images are based too. For
   * `node` images, installs Node.js in the same place as the official image.
   */
  async #base(image: string): Promise<Image> {
    const [, name, version] = /^(debian|node):([\w.-]+)$/.exec(image) ?? [];
    const [, major, suite] = /^(?:(\d+)-)?([a-z]+)-slim$/.exec(version ?? '') ?? [];
    if (suite === undefined) throw new Error(`no substitute for the image ${image}`);
    if (name === 'debian') return { root: await this.#debian(suite), config: emptyConfig() };
    const debian = await this.#once(`debian:${suite}-slim`, () => this.#base(`debian:${suite}-slim`));
    const root = this.#newFolder();
    await copyTree(debian.root, root);
    const local = path.join(root, 'usr/local');
    await this.#unpack(`node-linux-${process.arch}@${major}`, local);
    // npm version bundled with Node.js 22.
    await this.#unpack('npm@10', path.join(local, 'lib/node_modules/npm'));
    for (const tool of ['npm', 'npx']) {
      await symlink(`../lib/node_modules/npm/bin/${tool}-cli.js`, path.join(local, 'bin', tool));
    }
    const addUser = 'groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node';
    await inside(root, ['/bin/sh', '-c', addUser]);
    return { root, config: { ...emptyConfig(), command: ['node'] } };
  }

  async #debian(suite: string): Promise<string> {
    const root = this.#newFolder();
    // Make dpkg skip syncing files to disk, as in the official images.
    await mkdir(path.join(root, 'etc/dpkg/dpkg.cfg.d'), { recursive: true });
    await writeFile(path.join(root, 'etc/dpkg/dpkg.cfg.d/docker-apt-speedup'), 'force-unsafe-io\n');
    const mirror = await debianMirror(suite);
    // debootstrap gets private mounts and processes, so that none remain even if it is killed.
    const debootstrap = ['debootstrap', '--variant=minbase', suite, root, ...(mirror === undefined ? [] : [mirror])];
    const alone = ['--pdeathsig', 'KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    await run('setpriv', [...alone, ...debootstrap], { maxBuffer });
    // Copy the host's apt settings (such as a proxy, or a mirror with outdated release files), so that builds work
    // behind a proxy.
    const { stdout } = await run('apt-config', ['dump']);
    const ways = stdout.split('\n').filter((line) => /^Acquire::(http|https|Check-)\S* "./.test(line));
    await writeFile(path.join(root, 'etc/apt/apt.conf.d/99-this-machine'), `${ways.join('\n')}\n`);
    return root;
  }

  /** Unpacks an npm package without running its scripts. */
  async #unpack(npmPackage: string, into: string): Promise<void> {
    const archive = this.#newFolder();
    await mkdir(archive);
    await run('npm', ['pack', '--silent', '--pack-destination', archive, npmPackage], { cwd: this.folder });
    await mkdir(into, { recursive: true });
    const options = '--strip-components=1 --no-same-owner'.split(' ');
    await run('sh', [
      '-c',
      'exec tar --extract --file "$1"/*.tgz --directory "$2" "$3" "$4"',
      'sh',
      archive,
      into,
      ...options,
    ]);
  }
}

function emptyConfig(): ImageConfig {
  const environment = { PATH: path_ };
  return { environment, user: 'root', folder: '/', entrypoint: [], command: [], volumes: [], stopSignal: 'SIGTERM' };
}

function propertyOf(argument: Arg): { name: string; value: string } {
  const property = argument.getProperty()!;
  return { name: property.getName(), value: property.getValue() ?? '' };
}

function jsonWords(text: string): string[] {
  return JSON.parse(text) as string[];
}

/** Copies a file or the contents of a folder, preserving owners, permissions and links. */
async function copyTree(from: string, to: string): Promise<void> {
  await run('cp', ['--archive', '--no-target-directory', from, to]);
}

/** Runs a build command in the root. Rejects with the output if it fails. */
async function inside(root: string, command: readonly string[], mounts: readonly Mount[] = []): Promise<void> {
  const [program, ...words] = inRoot(root, command, mounts);
  await run(program, words, { maxBuffer }).catch((error: { stdout?: string; stderr?: string }) => {
    throw new Error(`failed: ${command.at(-1)}\n${error.stdout}${error.stderr}`, { cause: error });
  });
}

/**
 * Returns the mirror from which the host gets the given Debian suite; undefined if the host does not use that suite.
 */
async function debianMirror(suite: string): Promise<string | undefined> {
  const targets = ['indextargets', '--format', '$(ORIGIN) $(CODENAME) $(REPO_URI)', 'Created-By: Packages'];
  const { stdout } = await run('apt-get', targets);
  const lines = stdout.split('\n').map((line) => line.split(' '));
  return lines.find(([origin, codename]) => origin === 'Debian' && codename === suite)?.[2];
}

/** Returns a mount with the host's additional certificate authorities, if there are any. */
async function machineFolder(folder: string): Promise<Mount> {
  const from = path.join(folder, 'machine');
  await mkdir(from, { recursive: true });
  const authorities = process.env['NODE_EXTRA_CA_CERTS'];
  if (authorities !== undefined) await cp(authorities, path.join(from, 'authorities.pem'));
  return { from, to: '/mnt', readOnly: true };
}

/** Returns the host's proxy and registry settings, which `docker build` also takes from its environment. */
async function machineSettings(folder: string): Promise<Record<string, string>> {
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'PIP_INDEX_URL', 'PIP_DEFAULT_TIMEOUT'];
  const both = names.flatMap((name) => [name, name.toLowerCase()]);
  const given = both.filter((name) => process.env[name] !== undefined).map((name) => [name, process.env[name]!]);
  const { stdout } = await run('npm', ['config', 'get', 'registry'], { cwd: folder });
  const authorities = process.env['NODE_EXTRA_CA_CERTS'] === undefined ? [] : ['NODE_EXTRA_CA_CERTS', 'PIP_CERT'];
  return {
    ...Object.fromEntries(given),
    npm_config_registry: stdout.trim(),
    ...Object.fromEntries(authorities.map((name) => [name, '/mnt/authorities.pem'])),
  };
}
