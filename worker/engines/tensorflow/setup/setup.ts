// Installs TensorFlow in a folder outside any checkout: the sources of tfjs-node from npm, the TensorFlow library from
// its Python wheel, and the binding between them, which is compiled locally. The install script of the npm package is
// not used, because it downloads TensorFlow 2.9 with CUDA 11 from a host that restricted networks cannot reach.
import { appendFile, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LockstepError, messageOf, systemCodeOf } from '../../../../shared/errors.js';
import {
  bindingApiVersion,
  bindingInPackage,
  installFolder,
  tfjsPackages,
  type TensorFlowFlavor,
} from '../install-folder.js';
import { shellLine, type SetupHost, type Tool } from './setup-host.js';
import { bindingCheckTool, checkBinding, lastLines, type BindingCheck } from './binding-check.js';
import { assertPrerequisites, assertSupportedMachine } from './setup-prerequisites.js';

const tensorFlowVersion = '2.21.0';
const tfjsVersion = '4.22.0';
/** npm package with the Node-API headers, so that the headers of Node need not be installed. */
const nodeApiHeaders = 'node-api-headers@1.9.0';

/**
 * CUDA libraries that TensorFlow's wheel requires (its extra "and-cuda"). Pinned, because another version of cuDNN may
 * compute different bits.
 */
const cudaWheels = [
  'nvidia-cublas-cu12==12.9.3.13',
  'nvidia-cuda-cupti-cu12==12.9.79',
  'nvidia-cuda-nvcc-cu12==12.9.86',
  'nvidia-cuda-nvrtc-cu12==12.9.86',
  'nvidia-cuda-runtime-cu12==12.9.79',
  'nvidia-cudnn-cu12==9.28.0.42',
  'nvidia-cufft-cu12==11.4.1.4',
  'nvidia-curand-cu12==10.3.10.19',
  'nvidia-cusolver-cu12==11.7.5.82',
  'nvidia-cusparse-cu12==12.5.10.65',
  'nvidia-nccl-cu12==2.32.3',
  'nvidia-nvjitlink-cu12==12.9.86',
];

export interface SetupRequest {
  flavor: TensorFlowFlavor;
  /**
   * Build the bindings of both npm packages with the library of this flavor, to test the GPU package on machines
   * without a GPU.
   */
  bothPackages: boolean;
  /** Folder returned by lockstepHome. */
  home: string;
  /** Rebuild an existing installation. */
  force: boolean;
  /** Print the commands without running them. */
  dryRun: boolean;
}

interface Step {
  title: string;
  /** Equivalent shell commands, printed in a dry run. */
  shell: string[];
  run(): Promise<void>;
}

/** Returns `gpu` for a Linux x64 machine with an NVIDIA driver, and `cpu` for any other machine. */
export async function detectFlavor(host: SetupHost): Promise<TensorFlowFlavor> {
  if (host.platform !== 'linux' || host.architecture !== 'x64') return 'cpu';
  if (host.exists('/proc/driver/nvidia/version')) return 'gpu';
  const { exitStatus } = await host.run({ program: 'nvidia-smi', args: ['-L'] });
  return exitStatus === 0 ? 'gpu' : 'cpu';
}

/**
 * Installs TensorFlow unless a working installation exists. The folder appears only once the installation is complete.
 * Throws `setup-failed` with the step that failed, the last lines of the tool's output and a remedy.
 * @param print prints a line for the user
 */
export async function setUpTensorFlow(
  request: SetupRequest,
  host: SetupHost,
  print: (line: string) => void,
): Promise<void> {
  const { flavor, bothPackages, home, force, dryRun } = request;
  assertSupportedMachine(flavor, host);
  const folder = installFolder(home, flavor);
  const staging = `${folder}.partial-${process.pid}`;
  const logFile = `${folder}-setup.log`;
  const packages = bothPackages ? [tfjsPackages.cpu, tfjsPackages.gpu] : [tfjsPackages[flavor]];
  const steps = stepsOf(flavor, packages, { folder, staging, logFile, host });
  if (dryRun) {
    for (const [index, step] of steps.entries()) {
      print(`# ${index + 1}. ${step.title}`);
      for (const line of step.shell) print(line);
    }
    return;
  }

  if (!force && host.exists(folder)) {
    const found = await checkAll(packages, folder, host);
    if (found.works) {
      print(
        `TensorFlow ${found.tensorFlow} is already installed in ${folder} and works${onDevice(found)}; ` +
          'lockstep setup-tensorflow --force rebuilds it.',
      );
      return;
    }
    print(`${folder} exists but does not work (${found.reason}); rebuilding it.`);
  }
  await assertPrerequisites(flavor, home, host);
  try {
    await removeAbandoned(folder);
    await mkdir(staging, { recursive: true });
    await writeFile(logFile, '');
  } catch (error) {
    const message = `cannot write to ${home}: ${messageOf(error)}. Set LOCKSTEP_HOME to use another folder.`;
    throw new LockstepError('setup-failed', message, { cause: error });
  }
  const startedAt = performance.now();
  try {
    for (const [index, step] of steps.entries()) {
      print(`[${index + 1}/${steps.length}] ${step.title}`);
      await appendFile(logFile, `\n# ${step.title}\n`);
      const stepStartedAt = performance.now();
      await step.run();
      print(`      done in ${seconds(stepStartedAt)}`);
    }
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  const installed = await checkAll(packages, folder, host);
  if (!installed.works) throw new LockstepError('setup-failed', `${folder} does not work: ${installed.reason}`);
  print(
    `TensorFlow ${installed.tensorFlow} is installed in ${folder} and works${onDevice(installed)} (${seconds(startedAt)}).`,
  );
  if (flavor === 'gpu' && !installed.usesGpu) {
    print('TensorFlow found no GPU and uses the CPU until nvidia-smi lists one (driver 525 or newer).');
  }
}

/** Checks all packages. Returns the result for the first one that does not work, or else for the first package. */
async function checkAll(
  packages: readonly string[],
  folder: string,
  host: SetupHost,
  logFile?: string,
): Promise<BindingCheck> {
  const checks: BindingCheck[] = [];
  for (const name of packages) checks.push(await checkBinding(name, folder, host, logFile));
  return checks.find(({ works }) => !works) ?? checks[0];
}

interface StepContext {
  folder: string;
  staging: string;
  logFile: string;
  host: SetupHost;
}

function networkRemedy(registry: string, setting: string): string {
  return `check that this machine can reach ${registry} (${setting} sets a mirror), then run setup-tensorflow again`;
}

/** Creates a step that runs a tool and logs its output, or lets the tool draw its progress bar on the terminal. */
function toolStep(
  title: string,
  tool: Tool,
  { host, logFile }: StepContext,
  remedy: string,
  drawsProgress = false,
): Step {
  return {
    title,
    shell: [shellLine(tool)],
    run: async () => {
      const ownsTerminal = drawsProgress && host.isTerminal;
      const { exitStatus, output } = await host.run(tool, { logFile, ownsTerminal });
      if (exitStatus === 0) return;
      const ending = exitStatus === null ? 'was killed or did not start' : `exited with status ${exitStatus}`;
      const details = ownsTerminal
        ? 'see its output above'
        : `the end of its output:\n${lastLines(output)}\nFull log: ${logFile}`;
      throw new LockstepError(
        'setup-failed',
        `"${title}" failed: ${tool.program} ${ending}; ${details}\nRemedy: ${remedy}`,
      );
    },
  };
}

function downloadStep(title: string, wheels: readonly string[], context: StepContext): Step {
  const remedy = networkRemedy('PyPI', 'PIP_INDEX_URL');
  return toolStep(title, pipInstall(context.staging, wheels), context, remedy, true);
}

function compileStep(title: string, name: string, context: StepContext): Step {
  const folder = join(context.staging, dirname(bindingPath(name)));
  const remedy = 'install a g++ that supports C++17 (version 8 or newer)';
  const compile = toolStep(title, compileBinding(name, context.staging), context, remedy);
  return {
    title,
    shell: [`mkdir -p ${folder}`, ...compile.shell],
    run: async () => {
      await mkdir(folder, { recursive: true });
      await compile.run();
    },
  };
}

function stepsOf(flavor: TensorFlowFlavor, packages: readonly string[], context: StepContext): Step[] {
  const { folder, staging, logFile, host } = context;
  const wheel = flavor === 'cpu' && host.architecture === 'x64' ? 'tensorflow-cpu' : 'tensorflow';
  const versioned = packages.map((name) => `${name}@${tfjsVersion}`);
  const size = flavor === 'gpu' ? '570' : '280';
  return [
    toolStep(
      `Fetching ${versioned.join(' and ')} from npm`,
      npmInstall(staging, [...versioned, nodeApiHeaders]),
      context,
      networkRemedy('the npm registry', 'npm config set registry URL'),
    ),
    downloadStep(
      `Downloading TensorFlow ${tensorFlowVersion} from PyPI (${size} MB)`,
      [`${wheel}==${tensorFlowVersion}`],
      context,
    ),
    ...(flavor === 'gpu'
      ? [downloadStep('Downloading the CUDA 12 libraries from PyPI (2.8 GB)', cudaWheels, context)]
      : []),
    ...packages.map((name) =>
      compileStep(packages.length === 1 ? 'Compiling the binding' : `Compiling the binding of ${name}`, name, context),
    ),
    {
      title: 'Deleting everything but the libraries from the wheels',
      shell: [`# in ${join(staging, 'python')}, keep ${tensorFlowLibraries.join(', ')} and nvidia/*/lib`],
      run: () => keepLibraries(staging),
    },
    {
      title: 'Checking the installation in a new process',
      shell: packages.map((name) => shellLine(bindingCheckTool(name, staging))),
      run: async () => {
        const check = await checkAll(packages, staging, host, logFile);
        if (check.works) return;
        throw new LockstepError(
          'setup-failed',
          `the binding was built but does not work: ${check.reason}\nFull log: ${logFile}\n` +
            'Report this as a bug, with the log, and use the wasm engine until it is fixed.',
        );
      },
    },
    {
      title: `Moving the installation to ${folder}`,
      shell: [`mv -T ${staging} ${folder}`],
      run: () => moveIntoPlace(staging, folder),
    },
  ];
}

function npmInstall(folder: string, packages: readonly string[]): Tool {
  const options = ['--ignore-scripts', '--install-strategy=hoisted', '--no-audit', '--no-fund', '--prefix', folder];
  return { program: 'npm', args: ['install', ...options, ...packages] };
}

/**
 * Returns a command that downloads wheels for Python 3.12 with any Python version. The native libraries in the wheels
 * do not depend on Python.
 */
function pipInstall(folder: string, wheels: readonly string[]): Tool {
  const forPython312 = ['--python-version', '3.12', '--implementation', 'cp', '--abi', 'cp312'];
  const options = ['--target', join(folder, 'python'), '--no-deps', '--no-compile', '--only-binary=:all:'];
  return {
    program: 'python3',
    args: ['-m', 'pip', 'install', ...options, ...forPython312, ...wheels],
    env: {
      TMPDIR: folder, // pip unpacks the wheels here, because /tmp may be too small
      PIP_USER: '0',
      PIP_REQUIRE_VIRTUALENV: '0',
      PIP_ROOT_USER_ACTION: 'ignore',
      PIP_DISABLE_PIP_VERSION_CHECK: '1',
    },
  };
}

const tensorFlowLibraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];

function compileBinding(packageName: string, folder: string): Tool {
  const sources = join('node_modules', packageName, 'binding');
  const options = ['-O2', '-std=c++17', '-fPIC', '-shared', `-DNAPI_VERSION=${bindingApiVersion}`];
  const headers = [join('node_modules', 'node-api-headers', 'include'), join('python', 'tensorflow', 'include')];
  const args = [
    ...options,
    ...headers.map((folder) => `-I${folder}`),
    join(sources, 'tfjs_backend.cc'),
    join(sources, 'tfjs_binding.cc'),
    ...tensorFlowLibraries.map((library) => join('python', 'tensorflow', library)),
    // Relative to the binding, so that the installation can be moved. TensorFlow also locates CUDA by a relative path.
    '-Wl,-rpath,$ORIGIN/../../../../../python/tensorflow',
    '-o',
    bindingPath(packageName),
  ];
  return { program: 'g++', args, cwd: folder };
}

/** Returns the path of a binding relative to the installation folder. */
function bindingPath(packageName: string): string {
  return join('node_modules', packageName, bindingInPackage);
}

/**
 * Deletes everything from the wheels except the libraries, their licenses, and the compiler that XLA calls on GPUs.
 * Keeps 0.9 of 1.3 GB, or 5.3 of 8.4 GB in a GPU installation.
 */
async function keepLibraries(folder: string): Promise<void> {
  const python = join(folder, 'python');
  const tensorFlow = new Set([...tensorFlowLibraries, 'THIRD_PARTY_NOTICES.txt']);
  await keepOnly(python, (name) => ['tensorflow', 'nvidia'].includes(name) || name.endsWith('.dist-info'));
  await keepOnly(join(python, 'tensorflow'), (name) => tensorFlow.has(name));
  for (const name of await namesIn(join(python, 'nvidia'))) {
    if (name !== 'cuda_nvcc') await keepOnly(join(python, 'nvidia', name), (child) => child === 'lib');
  }
}

async function keepOnly(folder: string, keeps: (name: string) => boolean): Promise<void> {
  const others = (await namesIn(folder)).filter((name) => !keeps(name));
  await Promise.all(others.map((name) => rm(join(folder, name), { recursive: true })));
}

/** Returns the names of the entries in a folder; an empty list if the folder does not exist. */
async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ENOTDIR') return [];
    throw error;
  });
}

function onDevice({ usesGpu }: { usesGpu: boolean }): string {
  return usesGpu ? ' on the GPU' : ' on the CPU';
}

/** Replaces the old installation with the new one. */
async function moveIntoPlace(staging: string, folder: string): Promise<void> {
  const old = `${folder}.old-${process.pid}`;
  await rename(folder, old).catch((error: unknown) => {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  });
  await rename(staging, folder);
  await rm(old, { recursive: true, force: true });
}

/** Removes the folders of interrupted installations: those whose names end with the ID of a process that has ended. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await namesIn(dirname(folder))) {
    const suffix = name.startsWith(basename(folder)) ? name.slice(basename(folder).length) : '';
    const processId = /^\.(?:partial|old)-(\d+)$/.exec(suffix)?.[1];
    if (processId !== undefined && !isRunning(Number(processId))) {
      await rm(join(dirname(folder), name), { recursive: true, force: true });
    }
  }
}

function isRunning(processId: number): boolean {
  try {
    return process.kill(processId, 0); // signal 0 only checks whether the process exists
  } catch (error) {
    return systemCodeOf(error) === 'EPERM';
  }
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(0)} s`;
}
