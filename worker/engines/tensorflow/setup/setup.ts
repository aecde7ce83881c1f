// Sets TensorFlow up in a folder of its own, outside any checkout: tfjs-node's sources from npm, the TensorFlow library out
// of its Python wheel, and the binding between the two compiled here. The package's own install script cannot be relied
// on: it downloads TensorFlow 2.9 with CUDA 11 from a host that closed networks do not reach.
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
import { lastLines, trialOf, tryBinding, type TrialResult } from './setup-trial.js';
import { assertPrerequisites, assertSupportedMachine } from './setup-prerequisites.js';

const tensorFlowVersion = '2.21.0';
const tfjsVersion = '4.22.0';
/** Node-API's headers as a package: any Node will do, its own headers are not needed. */
const nodeApiHeaders = 'node-api-headers@1.9.0';

/** The CUDA libraries that TensorFlow's wheel asks for ("and-cuda"), pinned: another cuDNN may compute other bits. */
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
   * Builds the binding of the GPUs' package too, against the library for the CPU: how GPU users' package is tried on machines
   * without one.
   */
  bothPackages: boolean;
  /** See lockstepHome. */
  home: string;
  /** Builds again what is there already. */
  force: boolean;
  /** Says what would be run, and runs nothing. */
  dryRun: boolean;
}

interface Step {
  title: string;
  /** What it does, as lines for a shell. */
  shell: string[];
  run(): Promise<void>;
}

/** `gpu` where an NVIDIA driver answers. */
export async function detectFlavor(host: SetupHost): Promise<TensorFlowFlavor> {
  if (host.platform !== 'linux' || host.architecture !== 'x64') return 'cpu';
  if (host.exists('/proc/driver/nvidia/version')) return 'gpu';
  const { exitStatus } = await host.run({ program: 'nvidia-smi', args: ['-L'] });
  return exitStatus === 0 ? 'gpu' : 'cpu';
}

/**
 * Sets TensorFlow up. The folder appears complete or not at all; one that is there and works is left as it is.
 * Throws `setup-failed` naming the step, the tool's last lines and the remedy.
 * @param say receives a line for a person
 */
export async function setUpTensorFlow(
  request: SetupRequest,
  host: SetupHost,
  say: (line: string) => void,
): Promise<void> {
  const { flavor, bothPackages, home, force, dryRun } = request;
  assertSupportedMachine(flavor, host);
  const folder = installFolder(home, flavor);
  const staging = `${folder}.partial-${process.pid}`;
  const logFile = `${folder}-setup.log`;
  const packages = bothPackages ? [tfjsPackages.cpu, tfjsPackages.gpu] : [tfjsPackages[flavor]];
  const steps = stepsOf(flavor, packages, { folder, staging, logFile }, host);
  if (dryRun) {
    for (const [index, step] of steps.entries()) {
      say(`# ${index + 1}. ${step.title}`);
      for (const line of step.shell) say(line);
    }
    return;
  }

  if (!force && host.exists(folder)) {
    const found = await tryAll(packages, folder, host);
    if (found.works) {
      say(
        `TensorFlow ${found.tensorFlow} is in ${folder} already, and works${onWhat(found)}. --force builds it again.`,
      );
      return;
    }
    say(`${folder} is there but does not work (${found.reason}): building it again.`);
  }
  await assertPrerequisites(flavor, home, host);
  try {
    await removeAbandoned(folder);
    await mkdir(staging, { recursive: true });
    await writeFile(logFile, '');
  } catch (error) {
    const message = `${home} cannot be written: ${messageOf(error)}. Remedy: LOCKSTEP_HOME chooses another folder.`;
    throw new LockstepError('setup-failed', message, { cause: error });
  }
  const startedAt = performance.now();
  try {
    for (const [index, step] of steps.entries()) {
      say(`[${index + 1}/${steps.length}] ${step.title}`);
      await appendFile(logFile, `\n# ${step.title}\n`);
      const stepStartedAt = performance.now();
      await step.run();
      say(`      done in ${seconds(stepStartedAt)}`);
    }
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  const installed = await tryAll(packages, folder, host);
  if (!installed.works) throw new LockstepError('setup-failed', `${folder} does not work: ${installed.reason}`);
  say(
    `TensorFlow ${installed.tensorFlow} is in ${folder} and works${onWhat(installed)}; it took ${seconds(startedAt)}.`,
  );
  if (flavor === 'gpu' && !installed.usesGpu) {
    say(
      'It found no GPU here and computes on the CPU until there is one: nvidia-smi must list it (driver 525 or newer).',
    );
  }
}

/** How the first package fares, or else the first that does not work. */
async function tryAll(
  packages: readonly string[],
  folder: string,
  host: SetupHost,
  logFile?: string,
): Promise<TrialResult> {
  const trials: TrialResult[] = [];
  for (const name of packages) trials.push(await tryBinding(name, folder, host, logFile));
  return trials.find(({ works }) => !works) ?? trials[0];
}

function stepsOf(
  flavor: TensorFlowFlavor,
  packages: readonly string[],
  { folder, staging, logFile }: { folder: string; staging: string; logFile: string },
  host: SetupHost,
): Step[] {
  const wheel = flavor === 'cpu' && host.architecture === 'x64' ? 'tensorflow-cpu' : 'tensorflow';
  const versioned = packages.map((name) => `${name}@${tfjsVersion}`);

  /** A step that runs one tool, with its output in the log, or on the terminal if it draws a progress bar there. */
  function toolStep(title: string, tool: Tool, remedy: string, drawsProgress = false): Step {
    return {
      title,
      shell: [shellLine(tool)],
      run: async () => {
        const ownsTerminal = drawsProgress && host.isTerminal;
        const { exitStatus, output } = await host.run(tool, { logFile, ownsTerminal });
        if (exitStatus === 0) return;
        const ending = exitStatus === null ? 'was stopped or did not start' : `ended with status ${exitStatus}`;
        const said = ownsTerminal
          ? 'its output is above'
          : `its last lines:\n${lastLines(output)}\nAll output: ${logFile}`;
        throw new LockstepError(
          'setup-failed',
          `"${title}" failed: ${tool.program} ${ending}; ${said}\nRemedy: ${remedy}`,
        );
      },
    };
  }
  const networkRemedy = (registry: string, setting: string) =>
    `check that this machine reaches ${registry} (${setting} names a flip), then run setup-tensorflow again`;
  const pipRemedy = networkRemedy('PyPI', 'PIP_INDEX_URL');

  const download = toolStep(
    `Downloading TensorFlow ${tensorFlowVersion} from PyPI (${flavor === 'gpu' ? '570' : '280'} MB)`,
    pipInstall(staging, [`${wheel}==${tensorFlowVersion}`]),
    pipRemedy,
    true,
  );
  const downloadCuda = toolStep(
    'Downloading the CUDA 12 libraries from PyPI (2.8 GB)',
    pipInstall(staging, cudaWheels),
    pipRemedy,
    true,
  );
  const compilations = packages.map((name): Step => {
    const bindingFolder = join(staging, dirname(bindingPath(name)));
    const compile = toolStep(
      packages.length === 1 ? 'Compiling the binding' : `Compiling the binding of ${name}`,
      compileBinding(name, staging),
      'g++ must compile C++17 (version 8 or newer): g++ --version',
    );
    return {
      title: compile.title,
      shell: [`mkdir -p ${bindingFolder}`, ...compile.shell],
      run: async () => {
        await mkdir(bindingFolder, { recursive: true });
        await compile.run();
      },
    };
  });
  return [
    toolStep(
      `Fetching ${versioned.join(' and ')} from npm`,
      npmInstall(staging, [...versioned, nodeApiHeaders]),
      networkRemedy('the npm registry', 'npm config set registry URL'),
    ),
    download,
    ...(flavor === 'gpu' ? [downloadCuda] : []),
    ...compilations,
    {
      title: 'Keeping the libraries, deleting the rest of the wheels',
      shell: [`# in ${join(staging, 'python')}: ${tensorFlowLibraries.join(', ')} and nvidia/*/lib stay`],
      run: () => keepLibraries(staging),
    },
    {
      title: 'Trying it in a new process',
      shell: packages.map((name) => shellLine(trialOf(name, staging))),
      run: async () => {
        const trial = await tryAll(packages, staging, host, logFile);
        if (trial.works) return;
        throw new LockstepError(
          'setup-failed',
          `the binding was built but does not work: ${trial.reason}\nAll output: ${logFile}\n` +
            'Remedy: --engine wasm computes without TensorFlow; please report the log.',
        );
      },
    },
    {
      title: `Putting it in place: ${folder}`,
      shell: [`mv -T ${staging} ${folder}`],
      run: () => putInPlace(staging, folder),
    },
  ];
}

function npmInstall(folder: string, packages: readonly string[]): Tool {
  const options = ['--ignore-scripts', '--install-strategy=hoisted', '--no-audit', '--no-fund', '--prefix', folder];
  return { program: 'npm', args: ['install', ...options, ...packages] };
}

/** Wheels of Python 3.12 whatever Python runs pip: their native libraries are the same for all. */
function pipInstall(folder: string, wheels: readonly string[]): Tool {
  const forPython312 = ['--python-version', '3.12', '--implementation', 'cp', '--abi', 'cp312'];
  const options = ['--target', join(folder, 'python'), '--no-deps', '--no-compile', '--only-binary=:all:'];
  return {
    program: 'python3',
    args: ['-m', 'pip', 'install', ...options, ...forPython312, ...wheels],
    env: {
      TMPDIR: folder, // pip unpacks in it before it moves: /tmp may be small
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
    // From the binding's own folder, so that the whole can be moved. TensorFlow finds CUDA from its folder alike.
    '-Wl,-rpath,$ORIGIN/../../../../../python/tensorflow',
    '-o',
    bindingPath(packageName),
  ];
  return { program: 'g++', args, cwd: folder };
}

/** Inside the folder of an installation. */
function bindingPath(packageName: string): string {
  return join('node_modules', packageName, bindingInPackage);
}

/**
 * Of the wheels only the libraries, their licenses, and the compiler that XLA calls on a GPU.
 * 1.3 GB of wheels become 0.9 GB, for a GPU 8.4 GB become 5.3 GB.
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
  const rest = (await namesIn(folder)).filter((name) => !keeps(name));
  await Promise.all(rest.map((name) => rm(join(folder, name), { recursive: true })));
}

/** None where the folder does not exist. */
async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ENOTDIR') return [];
    throw error;
  });
}

function onWhat({ usesGpu }: { usesGpu: boolean }): string {
  return usesGpu ? ' on the GPU' : ' on the CPU';
}

/** The old folder makes way only when the new one is complete. */
async function putInPlace(staging: string, folder: string): Promise<void> {
  const old = `${folder}.old-${process.pid}`;
  await rename(folder, old).catch((error: unknown) => {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  });
  await rename(staging, folder);
  await rm(old, { recursive: true, force: true });
}

/** Removes what setups left that were killed: their folders end with their process ids. */
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
    return process.kill(processId, 0); // signal 0 only asks
  } catch (error) {
    return systemCodeOf(error) === 'EPERM';
  }
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(0)} s`;
}
