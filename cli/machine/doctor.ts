// lockstep doctor: whether this machine can compute, for a coordinator if one is named, and what mends it if not.
import { tmpdir } from 'node:os';
import { Option, type Command } from 'commander';
import { assertUseFor, readClientTls } from '../../shared/protocol/client-tls.js';
import { lockstepVersion } from '../../shared/version.js';
import { engineNames, type EngineName } from '../../worker/engines/registry.js';
import { lockstepHome } from '../../worker/engines/tensorflow/install-folder.js';
import { thisMachine } from '../../worker/engines/tensorflow/setup/setup-host.js';
import { missingPrerequisites } from '../../worker/engines/tensorflow/setup/setup-prerequisites.js';
import { detectFlavor } from '../../worker/engines/tensorflow/setup/setup.js';
import { checkUrl, defaultCacheDirectory } from '../../worker/main.js';
import type { Credentials } from '../client/coordinator-request.js';
import { describeSections, problemsIn, type Check, type Section } from './doctor/check.js';
import { checkCoordinator } from './doctor/coordinator.js';
import { checkFolder } from './doctor/disk.js';
import { checkTensorFlow, checkWasm, probeEngine, type Probe } from './doctor/engines.js';
import { checkGpus, readGpus, type TensorFlowOnGpus } from './doctor/gpus.js';
import { checkMachine, readMachine } from './doctor/machine.js';
import { countOf, RateLimitedPrinter, standardOutput } from '../output/line-writer.js';
import { addClientTlsOptions, readClientTlsOptions } from '../options/tls-options.js';
import { tokenFileOption, tokenOption, workerToken } from '../options/token-options.js';

interface DoctorOptions {
  engine: EngineName;
  cache: string;
  runDir: string;
  json: boolean;
}

/** Shards of CIFAR-10 are 138 MB; a run's checkpoints 2 MB each, and a curve 23 MB at most. */
const wantedBytes = 1e9;

/** Adds `doctor`. Sets the exit status: 1 where something has a problem, else 0. */
export function addDoctorCommand(program: Command): void {
  addClientTlsOptions(
    program
      .command('doctor [url]')
      .description('look whether this machine can compute, and for the coordinator at ws://HOST:PORT if it is named'),
  )
    .addOption(
      new Option('--engine <ENGINE>', 'what it is to compute with; auto: any').choices(engineNames).default('auto'),
    )
    .addOption(tokenOption('what the coordinator would be shown'))
    .addOption(tokenFileOption('a file that holds the token'))
    .option('--cache <DIR>', "where a worker's shards would be kept", defaultCacheDirectory())
    .option('--run-dir <DIR>', 'where runs would be kept', 'runs')
    .option('--json', 'print one line of JSON and nothing else', false)
    .addHelpText('after', '\nExit status: 0 an engine works and nothing that was asked for has a problem, else 1.')
    .action(async (url: string | undefined, options: DoctorOptions, called: Command) => {
      if (url !== undefined) checkUrl(url);
      const tls = readClientTls(readClientTlsOptions(called.opts()));
      if (url !== undefined) assertUseFor(tls, url);
      const sections = await examine(url, options, { token: workerToken(called), tls });
      const problems = problemsIn(sections);
      if (options.json) {
        standardOutput.write(`${JSON.stringify({ lockstepVersion, ok: problems.length === 0, sections })}\n`);
      } else {
        const writer = new RateLimitedPrinter(standardOutput);
        writer.line(`lockstep ${lockstepVersion} · doctor`);
        for (const line of describeSections(sections)) writer.line(line);
        const warnings = sections.flatMap(({ checks }) => checks).filter(({ mark }) => mark === 'warning').length;
        writer.line('');
        writer.line(`${countOf(problems.length, 'problem')}, ${countOf(warnings, 'warning')}`);
      }
      if (problems.length > 0) process.exitCode = 1;
    });
}

async function examine(url: string | undefined, options: DoctorOptions, credentials: Credentials): Promise<Section[]> {
  const { engine, cache, runDir } = options;
  const host = thisMachine();
  // One after the other: each computes, and a slow machine has one core.
  const wasm = await probeEngine('wasm');
  const tensorFlow = await probeEngine('tensorflow');
  const isNeeded = engine === 'tensorflow';
  const tensorFlowCheck = checkTensorFlow(tensorFlow, isNeeded);
  const gpus = checkGpus(await readGpus(host, process.env), onGpus(tensorFlow));
  const setUp = tensorFlow.answer?.loads === true ? [] : await checkSetUp(isNeeded);
  const folder = { wantedBytes, markWithout: 'problem' } as const;
  const disks = [
    await checkFolder({
      ...folder,
      about: 'cache of shards',
      folder: cache,
      chosenBy: '--cache',
      markWithout: 'warning',
    }),
    await checkFolder({
      ...folder,
      about: 'runs',
      folder: runDir,
      chosenBy: '--run-dir',
      // A worker writes no run.
      markWithout: url === undefined ? 'problem' : 'warning',
    }),
    await checkFolder({ ...folder, about: 'temporary files', folder: tmpdir(), chosenBy: 'TMPDIR' }),
  ];
  return [
    { title: 'This machine', checks: checkMachine(readMachine()) },
    { title: 'Engines', checks: [checkWasm(wasm), tensorFlowCheck, ...setUp] },
    { title: 'GPUs', checks: gpus },
    { title: 'Disk', checks: disks },
    ...(url === undefined ? [] : [{ title: 'Coordinator', checks: await checkCoordinator(url, credentials) }]),
  ];
}

function onGpus({ answer, log }: Probe): TensorFlowOnGpus | null {
  return answer?.loads === true && answer.tensorFlow !== undefined ? { ...answer.tensorFlow, log } : null;
}

/** What setup-tensorflow would stop at. */
async function checkSetUp(isNeeded: boolean): Promise<Check[]> {
  const about = 'setup-tensorflow';
  const host = thisMachine();
  const missing = await missingPrerequisites(await detectFlavor(host), lockstepHome(process.env), host);
  if (missing.length === 0) return [{ about, mark: 'ok', says: 'has all that it needs here' }];
  return missing.map((line) => {
    const [name, ...remedy] = line.split(': ');
    return { about, mark: isNeeded ? 'problem' : 'warning', says: `needs ${name}`, remedy: remedy.join(': ') };
  });
}
