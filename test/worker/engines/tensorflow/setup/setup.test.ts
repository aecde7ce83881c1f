// Installation of TensorFlow on a simulated machine whose programs create the files that the real ones would.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LockstepError } from '../../../../../shared/errors.js';
import {
  shellLine,
  type SetupHost,
  type Tool,
  type ToolResult,
} from '../../../../../worker/engines/tensorflow/setup/setup-host.js';
import {
  detectFlavor,
  setUpTensorFlow,
  type SetupRequest,
} from '../../../../../worker/engines/tensorflow/setup/setup.js';

type Reply = Partial<ToolResult>;

/** A simulated machine on which every program exists and succeeds, unless a test defines its reply. */
class FakeHost implements SetupHost {
  platform: NodeJS.Platform = 'linux';
  architecture = 'x64';
  glibcVersion: string | undefined = '2.36';
  isTerminal = false;
  free = 100e9;
  readonly calls: string[] = [];
  /** Replies of programs, keyed by a substring of the command line. */
  readonly replies = new Map<string, Reply>();

  async run(tool: Tool): Promise<ToolResult> {
    const call = shellLine(tool);
    this.calls.push(call);
    const replied = [...this.replies].find(([word]) => call.includes(word))?.[1];
    if (replied !== undefined) return { exitStatus: 0, standardOutput: '', output: '', ...replied };
    return { exitStatus: 0, output: '', standardOutput: this.#simulate(tool) };
  }

  async freeBytes(): Promise<number> {
    return this.free;
  }

  exists(path: string): boolean {
    return existsSync(path);
  }

  /** Creates the files that the program would create and returns its standard output. */
  #simulate({ program, args, cwd }: Tool): string {
    if (program === 'python3' && args.includes('--version') && args.includes('pip')) return 'pip 23.2.1 from /usr/lib';
    const target = args[args.indexOf('--target') + 1];
    if (args.includes('--target')) {
      write(join(target, 'tensorflow', 'libtensorflow_cc.so.2'));
      write(join(target, 'tensorflow', 'libtensorflow_framework.so.2'));
      write(join(target, 'tensorflow', 'include', 'c_api.h'));
      write(join(target, 'bin', 'saved_model_cli'));
      if (args.some((word) => word.startsWith('nvidia-'))) {
        write(join(target, 'nvidia', 'cudnn', 'lib', 'libcudnn.so.9'));
        write(join(target, 'nvidia', 'cudnn', 'include', 'cudnn.h'));
        write(join(target, 'nvidia', 'cuda_nvcc', 'bin', 'ptxas'));
        write(join(target, 'nvidia', '__init__.py'));
      }
    }
    if (program === 'g++' && args.includes('-o')) writeFileSync(join(cwd!, args[args.indexOf('-o') + 1]), 'binding');
    if (args[0] === '-e') return JSON.stringify({ sum: 2904, tensorFlow: '2.21.0', usesGpu: false });
    return '';
  }
}

function write(path: string): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, '');
}

let home: string;
let host: FakeHost;
let printed: string[];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'lockstep-setup-'));
  host = new FakeHost();
  printed = [];
});
afterEach(() => rmSync(home, { recursive: true }));

async function setUp(change: Partial<SetupRequest> = {}): Promise<void> {
  const request: SetupRequest = { flavor: 'cpu', bothPackages: false, home, force: false, dryRun: false, ...change };
  await setUpTensorFlow(request, host, (line) => printed.push(line));
}

/** Returns the message of the expected failure. */
async function failureOf(attempt: Promise<void>): Promise<string> {
  const error: unknown = await attempt.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof LockstepError && error.code === 'setup-failed') return error.message;
  throw new Error('expected the setup to fail', { cause: error });
}

/** Returns the temporary setup folders that still exist. */
function leftovers(): string[] {
  return ['partial', 'old'].map((word) => join(home, `tensorflow-cpu.${word}-${process.pid}`)).filter(existsSync);
}

describe('setUpTensorFlow', () => {
  it('installs the libraries and the binding, and nothing else from the wheel', async () => {
    await setUp();
    const folder = join(home, 'tensorflow-cpu');
    const binding = join(folder, 'node_modules/@tensorflow/tfjs-node/lib/napi-v8/tfjs_binding.node');
    expect(readFileSync(binding, 'utf8')).toBe('binding');
    expect(existsSync(join(folder, 'python/tensorflow/libtensorflow_cc.so.2'))).toBe(true);
    expect(existsSync(join(folder, 'python/tensorflow/include'))).toBe(false);
    expect(existsSync(join(folder, 'python/bin'))).toBe(false);
    expect(leftovers()).toEqual([]);
    expect(printed.at(-1)).toMatch(/^TensorFlow 2\.21\.0 is installed in .*tensorflow-cpu and works on the CPU/);
  });

  it('numbers its steps and prints how long each one took', async () => {
    await setUp();
    expect(printed.filter((line) => /^\[\d\/6\] /.test(line))).toHaveLength(6);
    expect(printed.filter((line) => /^ +done in \d+ s$/.test(line))).toHaveLength(6);
  });

  it('installs the CUDA libraries for a GPU and the compiler that XLA calls', async () => {
    await setUp({ flavor: 'gpu' });
    const nvidia = join(home, 'tensorflow-gpu/python/nvidia');
    expect(existsSync(join(nvidia, 'cudnn/lib/libcudnn.so.9'))).toBe(true);
    expect(existsSync(join(nvidia, 'cudnn/include'))).toBe(false);
    expect(existsSync(join(nvidia, 'cuda_nvcc/bin/ptxas'))).toBe(true);
    expect(printed.at(-1)).toMatch(/found no GPU/);
  });

  it('builds and checks both packages with bothPackages', async () => {
    await setUp({ bothPackages: true });
    for (const name of ['tfjs-node', 'tfjs-node-gpu']) {
      const binding = join(home, 'tensorflow-cpu/node_modules/@tensorflow', name, 'lib/napi-v8/tfjs_binding.node');
      expect(existsSync(binding)).toBe(true);
      expect(host.calls.filter((call) => call.includes(`require('\\''@tensorflow/${name}'\\'')`))).toHaveLength(2);
    }
    expect(existsSync(join(home, 'tensorflow-cpu/python/nvidia'))).toBe(false);
    // If either package is missing, both are rebuilt.
    rmSync(join(home, 'tensorflow-cpu/node_modules/@tensorflow/tfjs-node-gpu'), { recursive: true });
    host.replies.set(`cd ${join(home, 'tensorflow-cpu')} && TF_CPP_MIN_LOG_LEVEL=1 ${process.execPath} -e`, {
      exitStatus: 1,
      output: 'Cannot find module',
    });
    await failureOf(setUp({ bothPackages: true }));
    expect(printed.at(-1)).not.toMatch(/already installed .* and works/);
  });

  it('keeps a working installation', async () => {
    await setUp();
    host.calls.length = 0;
    await setUp();
    expect(printed.at(-1)).toMatch(/already installed .* and works/);
    expect(host.calls).toHaveLength(1);
  });

  it('rebuilds an installation that does not work', async () => {
    mkdirSync(join(home, 'tensorflow-cpu'));
    host.replies.set(`cd ${join(home, 'tensorflow-cpu')} &&`, {
      exitStatus: 1,
      output: 'cannot open shared object file',
    });
    // The reply also applies to the rebuilt installation, so the final check fails too.
    const message = await failureOf(setUp());
    expect(printed[0]).toMatch(/does not work \( +cannot open shared object file\); rebuilding it/);
    expect(message).toMatch(/tensorflow-cpu does not work/);
  });

  it('rebuilds a working installation with force', async () => {
    await setUp();
    writeFileSync(join(home, 'tensorflow-cpu', 'old-file'), '');
    await setUp({ force: true });
    expect(existsSync(join(home, 'tensorflow-cpu', 'old-file'))).toBe(false);
    expect(leftovers()).toEqual([]);
  });

  it('prints the commands of a dry run without running them', async () => {
    await setUp({ dryRun: true });
    expect(host.calls).toEqual([]);
    const output = printed.join('\n');
    for (const word of [
      'npm install',
      'pip install --target',
      'tensorflow-cpu==2.21.0',
      'g++ -O2',
      'node -e',
      'mv -T',
    ]) {
      expect(output).toContain(word);
    }
    expect(existsSync(join(home, 'tensorflow-cpu'))).toBe(false);
  });

  it('lists all missing prerequisites at once, and how to install them', async () => {
    host.replies.set('python3 -m pip', { exitStatus: 1 });
    host.replies.set('g++ --version', { exitStatus: null });
    host.free = 1e9;
    const message = await failureOf(setUp());
    expect(message).toContain('apt-get install python3-pip');
    expect(message).toContain('apt-get install g++');
    expect(message).toMatch(/1\.0 GB free, but \d\.\d GB are required/);
    expect(message).not.toContain('apt-get install npm');
  });

  it('rejects a pip that does not support the wheels', async () => {
    host.replies.set('python3 -m pip --version', { standardOutput: 'pip 19.0.3 from /usr/lib' });
    expect(await failureOf(setUp())).toContain('pip 20.3 or newer');
  });

  it("reports a failed step's output, the log and a remedy, and leaves no folder", async () => {
    host.replies.set('--target', { exitStatus: 1, output: 'ERROR: Could not find a version' });
    const message = await failureOf(setUp());
    expect(message).toContain(
      '"Downloading TensorFlow 2.21.0 from PyPI (280 MB)" failed: python3 exited with status 1',
    );
    expect(message).toContain('ERROR: Could not find a version');
    expect(message).toContain(join(home, 'tensorflow-cpu-setup.log'));
    expect(message).toMatch(/Remedy: check that this machine can reach PyPI/);
    expect(existsSync(join(home, 'tensorflow-cpu'))).toBe(false);
    expect(leftovers()).toEqual([]);
  });

  it('suggests LOCKSTEP_HOME if its folder is not writable', async () => {
    const file = join(home, 'file');
    writeFileSync(file, '');
    expect(await failureOf(setUp({ home: join(file, 'inside') }))).toContain('Set LOCKSTEP_HOME to use another folder');
  });

  it('does not install a binding that computes wrong results', async () => {
    const output = JSON.stringify({ sum: 0, tensorFlow: '2.21.0', usesGpu: false });
    host.replies.set(' -e ', { standardOutput: output });
    expect(await failureOf(setUp())).toContain('sums to 0 instead of 2904');
    expect(existsSync(join(home, 'tensorflow-cpu'))).toBe(false);
  });

  it('removes the folders of killed setups, but not those of running ones', async () => {
    const abandoned = join(home, 'tensorflow-cpu.partial-999999999');
    const inProgress = join(home, `tensorflow-cpu.partial-${process.ppid}`);
    mkdirSync(abandoned);
    mkdirSync(inProgress);
    await setUp();
    expect(existsSync(abandoned)).toBe(false);
    expect(existsSync(inProgress)).toBe(true);
  });

  it.each([
    { change: { platform: 'darwin' }, flavor: 'cpu', reason: 'this is darwin x64' },
    { change: { architecture: 'ia32' }, flavor: 'cpu', reason: 'this is linux ia32' },
    { change: { glibcVersion: undefined }, flavor: 'cpu', reason: 'another C library' },
    { change: { glibcVersion: '2.17' }, flavor: 'cpu', reason: 'has 2.17' },
    { change: { architecture: 'arm64' }, flavor: 'gpu', reason: 'setup-tensorflow --cpu' },
  ] as const)('rejects $change for $flavor', async ({ change, flavor, reason }) => {
    Object.assign(host, change);
    expect(await failureOf(setUp({ flavor }))).toContain(reason);
    expect(host.calls).toEqual([]);
  });

  it('uses the only wheel for arm64, which has no CPU suffix', async () => {
    host.architecture = 'arm64';
    await setUp({ dryRun: true });
    expect(printed.join('\n')).toContain(' tensorflow==2.21.0');
  });

  it('detects a GPU by its driver', async () => {
    expect(await detectFlavor(host)).toBe('gpu'); // nvidia-smi succeeds by default
    host.replies.set('nvidia-smi', { exitStatus: null });
    expect(await detectFlavor(host)).toBe(existsSync('/proc/driver/nvidia/version') ? 'gpu' : 'cpu');
    host.architecture = 'arm64';
    expect(await detectFlavor(host)).toBe('cpu');
  });
});
