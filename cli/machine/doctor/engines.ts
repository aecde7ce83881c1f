// Engine by engine: whether it loads and computes soundly, and if not why and what mends it.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { EngineName } from '../../../worker/engines/registry.js';
import { diagnoseLoadFailure, notInstalled } from '../../../worker/engines/tensorflow/load-failure.js';
import type { Check } from './check.js';
import { wasmStepSha256 } from './self-test.js';

const flavor = z.enum(['gpu', 'cpu']);
/** What a probe's process says: it is this same program, but may be another version where an update is under way. */
const probeAnswer = z.discriminatedUnion('loads', [
  z.object({
    loads: z.literal(true),
    fingerprint: z.string(),
    /** Of one step: see self-test.ts. */
    sha256: z.string(),
    /** Whether a second time gave the same bits. */
    repeats: z.boolean(),
    /** Of the gradient, as a part of its length. */
    distanceFromWasm: z.number().or(z.nan()).nullable(),
    tensorFlow: z.object({ isGpuPackage: z.boolean(), usesGpu: z.boolean(), folder: z.string() }).optional(),
  }),
  z.object({
    loads: z.literal(false),
    message: z.string(),
    /** Where TensorFlow was looked for. */
    places: z.array(z.object({ flavor, packageName: z.string(), folder: z.string().nullable(), reason: z.string() })),
  }),
]);
export type ProbeAnswer = z.infer<typeof probeAnswer>;

export interface Probe {
  /** Null where the process ended without an answer. */
  answer: ProbeAnswer | null;
  /** How the process ended: `signal SIGILL`, `exit status 1`. */
  ending: string;
  /** What it wrote as errors: TensorFlow's log. */
  log: string;
}

/** TensorFlow with CUDA takes half a minute the first time on a slow disk. */
const probeTimeoutMs = 120_000;

/** Opens an engine in a process of its own and has it compute. */
export async function probeEngine(name: Exclude<EngineName, 'auto'>): Promise<Probe> {
  const program = fileURLToPath(new URL('./engine-probe.js', import.meta.url));
  const child = fork(program, [name], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '0' },
    timeout: probeTimeoutMs,
    serialization: 'advanced', // JSON has no NaN
  });
  let log = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (log += text));
  let answer: ProbeAnswer | null = null;
  child.on('message', (message) => (answer = probeAnswer.safeParse(message).data ?? null));
  await once(child, 'close');
  const ending = child.signalCode === null ? `exit status ${child.exitCode}` : `signal ${child.signalCode}`;
  return { answer, ending, log };
}

export function checkWasm({ answer, ending, log }: Probe): Check {
  const about = 'wasm';
  if (answer === null) return { about, mark: 'problem', says: endedEarly(ending, log), remedy: 'npm ci' };
  if (!answer.loads) {
    const remedy = 'npm ci, which builds it; in a checkout: npm run build';
    return { about, mark: 'problem', says: answer.message, remedy };
  }
  if (answer.sha256 !== wasmStepSha256) {
    const says =
      `a step has other bits than on every other machine (${answer.sha256.slice(0, 12)}, not ` +
      `${wasmStepSha256.slice(0, 12)})${answer.repeats ? '' : ', and others each time'}`;
    const remedy =
      'this processor or this Node computes wrongly, or the build is another version’s: npm ci, then once more';
    return { about, mark: 'problem', says, remedy };
  }
  return { about, mark: 'ok', says: 'computes, and its bits are those of every machine' };
}

/** How far float32 gradients of the same step may be apart: rounding is 1e-6, TensorFloat-32 on GPUs 1e-3. */
const soundDistance = 0.02;

/** @param isAsked whether what was asked for needs TensorFlow; otherwise wasm computes in its place */
export function checkTensorFlow({ answer, ending, log }: Probe, isAsked: boolean): Check {
  const about = 'tensorflow';
  const without = isAsked ? 'problem' : 'warning';
  if (answer === null) {
    const isIllegal = ending === 'signal SIGILL';
    const says = isIllegal
      ? 'this processor lacks instructions that TensorFlow was built with'
      : endedEarly(ending, log);
    const remedy = isIllegal ? '--engine wasm computes here' : 'lockstep setup-tensorflow --force, or --engine wasm';
    return { about, mark: without, says, remedy };
  }
  if (!answer.loads) return { about, mark: without, ...whyNotLoaded(answer) };
  const { fingerprint, repeats, distanceFromWasm: distance, tensorFlow } = answer;
  const says = `${fingerprint}\nin ${tensorFlow?.folder ?? ''}`;
  if (distance === null || !(distance < soundDistance)) {
    const remedy = '--engine wasm; please report it with the line above';
    return {
      about,
      mark: 'problem',
      says: `${says}\nits gradient is not the right one (off by ${String(distance)})`,
      remedy,
    };
  }
  if (!repeats) {
    const remedy = 'resumed runs will differ in their last bits; --engine wasm has one result';
    return { about, mark: 'warning', says: `${says}\nthe same step gave other bits the second time`, remedy };
  }
  return { about, mark: 'ok', says };
}

type NotLoaded = Extract<ProbeAnswer, { loads: false }>;

/** The places where something is; with nothing anywhere, that. */
function whyNotLoaded({ message, places }: NotLoaded): Pick<Check, 'says' | 'remedy'> & { remedy: string } {
  if (places.length === 0) return { says: message, remedy: '--engine wasm computes without it' };
  const diagnosed = places
    .filter(({ reason }) => reason !== notInstalled)
    .map(({ flavor, packageName, folder, reason }) => {
      const { problem, remedy } = diagnoseLoadFailure({ reason, flavor, isOwnInstallation: folder !== null });
      return { says: `${packageName} ${folder === null ? 'installed by npm' : `in ${folder}`}: ${problem}`, remedy };
    });
  if (diagnosed.length === 0) return { says: 'not installed', remedy: 'lockstep setup-tensorflow' };
  return { says: ['does not load', ...diagnosed.map(({ says }) => says)].join('\n'), remedy: diagnosed[0].remedy };
}

function endedEarly(ending: string, log: string): string {
  const lastLine = log.trimEnd().split('\n').at(-1) ?? '';
  return `its process ended early (${ending})${lastLine === '' ? '' : `: ${lastLine}`}`;
}
