// Checks whether each engine loads and computes correctly. If not, explains why and what to do.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { describeExit } from '../../../single-node/worker-processes.js';
import type { EngineName } from '../../../shared/engine-names.js';
import type { WasmEngineName } from '../../../worker/engines/wasm/wasm-engine.js';
import { startEnvironment } from '../../../worker/engines/registry.js';
import { diagnoseLoadFailure, notInstalled } from '../../../worker/engines/tensorflow/load-failure.js';
import type { Check } from './check.js';
import { stepSha256 } from './self-test.js';

const flavor = z.enum(['gpu', 'cpu']);
/**
 * Message from a probe process. It is validated because the program may be of another version while an update is in
 * progress.
 */
const probeAnswer = z.discriminatedUnion('loads', [
  z.object({
    loads: z.literal(true),
    fingerprint: z.string(),
    /** SHA-256 of the gradient and batch statistics of one step; see self-test.ts. */
    sha256: z.string(),
    /** Whether computing the same step again gives the same hash. */
    repeats: z.boolean(),
    /** Distance of the gradient from that of the wasm engine, relative to the norm of the latter. */
    distanceFromWasm: z.number().or(z.nan()).nullable(),
    /** Images per second of ResNet-20 on the default slices, with one thread; null if that would take too long. */
    imagesPerSecond: z.number().nullable(),
    tensorFlow: z
      .object({
        isGpuPackage: z.boolean(),
        usesGpu: z.boolean(),
        folder: z.string(),
        /** Whether oneDNN is on according to the fingerprint; null if the fingerprint does not say. */
        usesOneDnn: z.boolean().nullable(),
      })
      .optional(),
  }),
  z.object({
    loads: z.literal(false),
    message: z.string(),
    /** Locations that were searched for TensorFlow. */
    places: z.array(z.object({ flavor, packageName: z.string(), folder: z.string().nullable(), reason: z.string() })),
  }),
]);
export type ProbeAnswer = z.infer<typeof probeAnswer>;

export interface Probe {
  /** Null if the process exited without an answer. */
  answer: ProbeAnswer | null;
  /** How the process exited, for example `signal SIGILL` or `exit status 1`. */
  exit: string;
  /** stderr of the process, which includes the log of TensorFlow. */
  log: string;
}

/** Time limit for a probe. TensorFlow with CUDA takes half a minute to load from a slow disk. */
const probeTimeoutMs = 120_000;

/** Loads an engine and computes with it, in a separate process. */
export async function probeEngine(name: Exclude<EngineName, 'auto'>): Promise<Probe> {
  const program = fileURLToPath(new URL('./engine-probe.js', import.meta.url));
  const child = fork(program, [name], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, ...(await startEnvironment(name)), TF_CPP_MIN_LOG_LEVEL: '0' },
    timeout: probeTimeoutMs,
    serialization: 'advanced', // JSON cannot represent NaN
  });
  let log = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (log += text));
  let answer: ProbeAnswer | null = null;
  child.on('message', (message) => (answer = probeAnswer.safeParse(message).data ?? null));
  await once(child, 'close');
  return { answer, exit: describeExit({ child }), log };
}

/** @param isRequired whether the engine was given with --engine, or must always work, as wasm must */
export function checkWasm(name: WasmEngineName, { answer, exit, log }: Probe, isRequired: boolean): Check {
  const problem = (says: string, remedy: string): Check => ({ about: name, mark: 'problem', says, remedy });
  if (answer === null) return problem(describeCrash(exit, log), 'npm ci');
  if (!answer.loads) {
    if (name === 'wasm') return problem(answer.message, 'npm ci, which builds it; in a checkout npm run build');
    // The message contains the remedy.
    return { about: name, mark: isRequired ? 'problem' : 'warning', says: answer.message };
  }
  const expected = stepSha256[name];
  if (answer.sha256 !== expected) {
    const hashes = `${answer.sha256.slice(0, 12)} instead of ${expected.slice(0, 12)}`;
    return problem(
      `the result of a test step has the hash ${hashes}${answer.repeats ? '' : ', and a different result each time'}`,
      'run npm ci and try again; otherwise the CPU or this version of Node.js computes incorrectly',
    );
  }
  const others = name === 'wasm' ? 'every other machine' : 'every other machine that has this engine';
  return { about: name, mark: 'ok', says: `computes the same bits as ${others}` };
}

/**
 * Maximum relative distance between float32 gradients of the same step. Rounding causes 1e-6, and TensorFloat-32 on
 * GPUs 1e-3.
 */
const maxDistance = 0.02;

/** @param isRequired whether --engine tensorflow was given; otherwise wasm can be used instead */
export function checkTensorFlow({ answer, exit, log }: Probe, isRequired: boolean): Check {
  const about = 'tensorflow';
  const markIfMissing = isRequired ? 'problem' : 'warning';
  if (answer === null) {
    if (exit === 'signal SIGILL') {
      const says = 'this CPU lacks instructions that TensorFlow was built with';
      return { about, mark: markIfMissing, says, remedy: 'use --engine wasm' };
    }
    const remedy = 'lockstep setup-tensorflow --force, or use --engine wasm';
    return { about, mark: markIfMissing, says: describeCrash(exit, log), remedy };
  }
  if (!answer.loads) return { about, mark: markIfMissing, ...explainLoadFailure(answer) };
  const { fingerprint, repeats, distanceFromWasm: distance, tensorFlow } = answer;
  const says = `${fingerprint}\nin ${tensorFlow?.folder ?? ''}`;
  if (distance === null || !(distance < maxDistance)) {
    const remedy = 'use --engine wasm, and report the lines above as a bug';
    return { about, mark: 'problem', says: `${says}\nits gradient is wrong (distance ${String(distance)})`, remedy };
  }
  if (!repeats) {
    const remedy = 'use --engine wasm for runs whose results must be reproducible';
    return { about, mark: 'warning', says: `${says}\nrepeating a step gives different bits`, remedy };
  }
  return { about, mark: 'ok', says };
}

/** Reports whether oneDNN is in effect, from TensorFlow's log. Returns no check for GPUs, which do not use it. */
export function checkOneDnn({ answer, log }: Probe): Check[] {
  if (answer?.loads !== true || answer.tensorFlow === undefined || answer.tensorFlow.usesGpu) return [];
  const expected = answer.tensorFlow.usesOneDnn;
  const isOn = log.includes('oneDNN custom operations are on'); // logged when the TensorFlow library loads
  const check = { about: 'oneDNN', says: isOn ? 'on' : 'off' };
  if (expected !== null && expected !== isOn) {
    const remedy = `report this as a bug: the fingerprint says that oneDNN is ${expected ? 'on' : 'off'}`;
    return [{ ...check, mark: 'warning', remedy }];
  }
  if (expected === false) {
    return [{ ...check, mark: 'warning', remedy: 'unset TF_ENABLE_ONEDNN_OPTS: convolutions are faster with oneDNN' }];
  }
  return [{ ...check, mark: 'ok' }];
}

type NotLoaded = Extract<ProbeAnswer, { loads: false }>;

/** Describes what is wrong with the installations that were found, or states that TensorFlow is not installed. */
function explainLoadFailure({ message, places }: NotLoaded): { says: string; remedy: string } {
  if (places.length === 0) return { says: message, remedy: 'use --engine wasm, which does not need it' };
  const diagnosed = places
    .filter(({ reason }) => reason !== notInstalled)
    .map(({ flavor, packageName, folder, reason }) => {
      const { problem, remedy } = diagnoseLoadFailure({ reason, flavor, isOwnInstallation: folder !== null });
      return { says: `${packageName} ${folder === null ? 'installed by npm' : `in ${folder}`}: ${problem}`, remedy };
    });
  if (diagnosed.length === 0) return { says: 'not installed', remedy: 'lockstep setup-tensorflow' };
  return { says: ['does not load', ...diagnosed.map(({ says }) => says)].join('\n'), remedy: diagnosed[0].remedy };
}

export function describeCrash(exit: string, log: string): string {
  const lastLine = log.trimEnd().split('\n').at(-1) ?? '';
  return `its process crashed (${exit})${lastLine === '' ? '' : `: ${lastLine}`}`;
}

/** Lists the speeds of the engines that load, from fast to slow. Empty if none does. */
export function checkSpeeds(probes: Readonly<Record<string, Probe>>): Check[] {
  const speeds = Object.entries(probes).flatMap(([name, { answer }]) =>
    answer?.loads === true && answer.imagesPerSecond !== null
      ? [{ name, imagesPerSecond: answer.imagesPerSecond }]
      : [],
  );
  if (speeds.length === 0) return [];
  const fromFastToSlow = speeds.toSorted((a, b) => b.imagesPerSecond - a.imagesPerSecond);
  const figures = fromFastToSlow.map(({ name, imagesPerSecond }) => `${name} ${imagesPerSecond.toFixed(0)} images/s`);
  const says = `${figures.join(', ')} (ResNet-20, one thread)\n--engine auto measures them with the network of the run`;
  return [{ about: 'speed', mark: 'ok', says }];
}
