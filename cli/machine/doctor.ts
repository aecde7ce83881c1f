// lockstep doctor: checks whether this machine can train and, optionally, whether it can work for a coordinator.
import { tmpdir } from 'node:os';
import type { Command } from 'commander';
import { lockstepVersion } from '../../shared/version.js';
import type { EngineName } from '../../shared/engine-names.js';
import { lockstepHome } from '../../worker/engines/tensorflow/install-folder.js';
import { thisMachine } from '../../worker/engines/tensorflow/setup/setup-host.js';
import { missingPrerequisites } from '../../worker/engines/tensorflow/setup/setup-prerequisites.js';
import { detectFlavor } from '../../worker/engines/tensorflow/setup/setup.js';
import { listAdapters } from '../../worker/engines/webgpu/platform/list-adapters.js';
import { checkUrl, defaultCacheDirectory } from '../../worker/main.js';
import type { Credentials } from '../client/coordinator-request.js';
import { checksMarked, describeChecks, type Check, type CheckGroup } from './doctor/check.js';
import { checkCoordinator } from './doctor/coordinator.js';
import { checkFolder } from './doctor/disk.js';
import { checkOneDnn, checkSpeeds, checkTensorFlow, checkWasm, probeEngine, type Probe } from './doctor/engines.js';
import { checkGpus, readGpus, type TensorFlowOnGpus } from './doctor/gpus.js';
import { checkMachine, readMachine } from './doctor/machine.js';
import { checkWebGpu, isWorthProbing } from './doctor/web-gpu.js';
import { engineOption } from '../options/engine-options.js';
import { addClientAccessOptions, readCredentials } from '../options/access-options.js';
import { formatCount } from '../output/format.js';
import { RateLimitedPrinter, standardOutput, writeJsonLine } from '../output/printer.js';

interface DoctorOptionValues {
  engine: EngineName;
  cache: string;
  runDir: string;
  json?: true;
}

/**
 * Free disk space below which the command warns. The shards of CIFAR-10 need 184 MB, each checkpoint 2 MB, and the
 * metrics of a run up to 23 MB.
 */
const minFreeBytes = 1e9;

/** Configures the command, which sets the exit status to 1 if it finds a problem. */
export function configure(command: Command): void {
  command
    .description(
      'Check whether this machine can train: Node.js, CPU, memory, engines, GPUs and disk. With a URL, also check the ' +
        'connection to a coordinator. Each problem is shown with its remedy.',
    )
    .argument('[URL]', 'URL of a coordinator: ws://HOST:PORT, or wss://HOST:PORT with TLS')
    .addOption(engineOption('auto', 'every engine'))
    .option('--cache <DIR>', 'folder in which a worker would cache shards', defaultCacheDirectory())
    .option('--run-dir <DIR>', 'folder to check, where run directories are created', 'runs')
    .option('--json', 'print one line of JSON and nothing else')
    .addHelpText('after', '\nExit status: 0 if there are no problems (warnings are allowed), 1 otherwise.');
  addClientAccessOptions(command).action(async (url: string | undefined, options: DoctorOptionValues) => {
    if (url !== undefined) checkUrl(url);
    const groups = await runChecks(url, options, readCredentials(command, url));
    const problems = checksMarked('problem', groups).length;
    if (options.json) {
      writeJsonLine(standardOutput, { lockstepVersion, ok: problems === 0, sections: groups });
    } else {
      const warnings = checksMarked('warning', groups).length;
      const counts = `${formatCount(problems, 'problem')}, ${formatCount(warnings, 'warning')}`;
      const printer = new RateLimitedPrinter(standardOutput);
      printer.line(`lockstep ${lockstepVersion} · doctor`, ...describeChecks(groups), '', counts);
    }
    if (problems > 0) process.exitCode = 1;
  });
}

async function runChecks(
  url: string | undefined,
  { engine, cache, runDir }: DoctorOptionValues,
  credentials: Credentials,
): Promise<CheckGroup[]> {
  // Probed one after the other: all compute, and a slow machine may have only one core.
  const wasm = await probeEngine('wasm');
  const wasmFma = await probeEngine('wasm-fma');
  const tensorFlow = await probeEngine('tensorflow');
  const adapters = await listAdapters();
  const needsWebGpu = engine === 'webgpu';
  const webGpu = isWorthProbing(adapters, needsWebGpu) ? await probeEngine('webgpu') : undefined;
  const needsTensorFlow = engine === 'tensorflow';
  const setup = tensorFlow.answer?.loads === true ? [] : await checkSetup(needsTensorFlow);
  const gpus = await readGpus(thisMachine(), process.env);
  const coordinator = url === undefined ? [] : await checkCoordinator(url, credentials);
  return [
    { title: 'This machine', checks: checkMachine(readMachine()) },
    {
      title: 'Engines',
      checks: [
        checkWasm('wasm', wasm, true),
        checkWasm('wasm-fma', wasmFma, engine === 'wasm-fma'),
        checkTensorFlow(tensorFlow, needsTensorFlow),
        ...checkOneDnn(tensorFlow),
        ...setup,
        ...checkWebGpu(adapters, webGpu, needsWebGpu),
        ...checkSpeeds({
          wasm,
          'wasm-fma': wasmFma,
          tensorflow: tensorFlow,
          ...(webGpu !== undefined && { webgpu: webGpu }),
        }),
      ],
    },
    { title: 'GPUs', checks: checkGpus(gpus, onGpus(tensorFlow)) },
    { title: 'Disk', checks: await checkDisk(cache, runDir, url === undefined) },
    ...(url === undefined ? [] : [{ title: 'Coordinator', checks: coordinator }]),
  ];
}

/** @param writesRuns false if this machine only runs workers for a coordinator elsewhere */
async function checkDisk(cache: string, runDir: string, writesRuns: boolean): Promise<Check[]> {
  const check = (about: string, folder: string, chosenBy: string, markIfReadOnly: 'problem' | 'warning') =>
    checkFolder({ about, folder, chosenBy, markIfReadOnly, minFreeBytes });
  return [
    await check('shard cache', cache, '--cache', 'warning'),
    await check('runs', runDir, '--run-dir', writesRuns ? 'problem' : 'warning'),
    await check('temporary files', tmpdir(), 'TMPDIR', 'problem'),
  ];
}

function onGpus({ answer, log }: Probe): TensorFlowOnGpus | null {
  return answer?.loads === true && answer.tensorFlow !== undefined ? { ...answer.tensorFlow, log } : null;
}

/** Checks the prerequisites of setup-tensorflow. */
async function checkSetup(isNeeded: boolean): Promise<Check[]> {
  const about = 'setup-tensorflow';
  const host = thisMachine();
  const missing = await missingPrerequisites(await detectFlavor(host), lockstepHome(process.env), host);
  if (missing.length === 0) return [{ about, mark: 'ok', says: 'its prerequisites are installed' }];
  return missing.map((line) => {
    const [name, ...remedy] = line.split(': ');
    return { about, mark: isNeeded ? 'problem' : 'warning', says: `needs ${name}`, remedy: remedy.join(': ') };
  });
}
