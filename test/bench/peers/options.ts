// Options of the peers benchmark.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { graphOf } from '../../../shared/config/network-config.js';
import { resolveConfig, type ConfigKey } from '../../../shared/config/config.js';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { NetworkGraph } from '../../../shared/network/graph.js';

export const usage = `usage: npm run bench -- peers [options] [-- options of \`lockstep bench\`]

Measures training steps of Lockstep and of PyTorch in turns and prints the median ratio of their images per second.

  --engines LIST   engines to measure, such as wasm,tensorflow (default: wasm)
  --workers N      measure N worker processes beside N processes of DistributedDataParallel
  --rounds N       number of turns (default: 5)
  --seconds S      duration of one measurement (default: 5)
  --isa LEVEL      hold TensorFlow and PyTorch to an instruction set: avx2 or avx512
  --cpus LIST      cores to run on, in taskset's notation, or all (default: one core per thread, if taskset exists)
  --peer COMMAND   shell command to measure beside Lockstep; the last line of its output must be JSON with
                   imagesPerSecond (default: test/bench/peers/torch_network.py with the Python interpreter named by
                   LOCKSTEP_TORCH_PYTHON, or python3)

The default peer trains the network that \`--network\`, \`--depth\` and so on after \`--\` choose, on images of the same shape, and
also follows \`--threads\`, \`--batch-size\` and \`--precision\`.
`;

/** A command to measure. Its last line of output is JSON with `imagesPerSecond`. */
export interface Subject {
  name: string;
  command: readonly [string, ...string[]];
  environment: Readonly<Record<string, string>>;
}

export interface PeersPlan {
  rounds: number;
  /** Lockstep, once per engine. */
  lockstep: readonly Subject[];
  peer: Subject;
  /** The conditions of the measurement, for display. */
  conditions: string;
}

const isaVariables: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  avx2: { ONEDNN_MAX_CPU_ISA: 'AVX2', ATEN_CPU_CAPABILITY: 'avx2' },
  avx512: { ONEDNN_MAX_CPU_ISA: 'AVX512_CORE', ATEN_CPU_CAPABILITY: 'avx512' },
};

/** Options of `lockstep bench` that the default peer has too. */
const sharedOptions = ['threads', 'batch-size', 'image-shape', 'precision'] as const;
/** Options of `lockstep bench` that choose the network, with the fields that they set. */
const networkOptions = {
  network: 'network',
  depth: 'depth',
  'initial-filters': 'initialFilters',
  shortcut: 'shortcut',
} as const satisfies Record<string, ConfigKey>;

/** Throws `bad-option`. */
export function planOf(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  cores = availableParallelism(),
  hasTaskset = tasksetExists(),
): PeersPlan {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const benchArgs = args.slice(end + 1);
  const options = parse(args.slice(0, end));
  const shared = valuesIn(benchArgs, sharedOptions);
  const workers = options.workers === undefined ? undefined : countOf('--workers', options.workers);
  const threads = countOf('--threads', shared.get('threads') ?? '1');
  const seconds = Number(options.seconds);
  if (!(seconds > 0)) throw badOption(`--seconds is ${options.seconds}: give a number above 0`);
  const isa = isaOf(options.isa);
  const cpus = cpusOf(options.cpus, (workers ?? 1) * threads, cores, hasTaskset);
  const pinned = (command: readonly [string, ...string[]]): [string, ...string[]] =>
    cpus === undefined ? [...command] : ['taskset', '-c', cpus, ...command];
  const cli = fileURLToPath(new URL('../../../cli.js', import.meta.url));
  const cluster = workers === undefined ? [] : ['--workers', String(workers)];
  // A round has a warm-up of its own, so that the turns alternate after each round.
  const common = ['--rounds', '1', '--seconds', String(seconds), '--json', ...cluster, ...benchArgs];
  return {
    rounds: countOf('--rounds', options.rounds),
    lockstep: enginesIn(options.engines, benchArgs).map((engine) => ({
      name: `Lockstep, ${engine}`,
      command: pinned([process.execPath, cli, 'bench', '--engine', engine, ...common]),
      environment: isa,
    })),
    peer: {
      name: 'peer',
      command: pinned(
        options.peer === undefined
          ? defaultPeer(environment, shared, workers ?? 1, seconds)
          : ['sh', '-c', options.peer],
      ),
      environment: {
        OMP_NUM_THREADS: String(threads),
        ...isa,
        ...(options.peer === undefined ? { NETWORK: JSON.stringify(networkIn(benchArgs)) } : {}),
      },
    },
    conditions: [
      cpus === undefined ? 'not pinned' : `cores ${cpus}`,
      `${workers ?? 1} ${(workers ?? 1) === 1 ? 'process' : 'processes'} of ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
      ...(options.isa === undefined ? [] : [`held to ${options.isa}`]),
      ...(benchArgs.length === 0 ? [] : [benchArgs.join(' ')]),
    ].join(', '),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        engines: { type: 'string' },
        workers: { type: 'string' },
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '5' },
        isa: { type: 'string' },
        cpus: { type: 'string' },
        peer: { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw badOption(messageOf(error));
  }
}

/** Returns the values of these options, by name. */
function valuesIn<Name extends string>(benchArgs: readonly string[], names: readonly Name[]): Map<Name, string> {
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const { values } = parseArgs({ args: [...benchArgs], options, strict: false });
  return new Map(names.flatMap((name) => (typeof values[name] === 'string' ? [[name, values[name]] as const] : [])));
}

/** Returns the network that `lockstep bench` trains with these options. */
function networkIn(benchArgs: readonly string[]): NetworkGraph {
  const names = Object.keys(networkOptions) as (keyof typeof networkOptions)[];
  const fields = [...valuesIn(benchArgs, names)].map(([name, text]) => {
    if (name === 'network' && text.endsWith('.json')) return [name, JSON.parse(readFileSync(text, 'utf8'))] as const;
    return [networkOptions[name], name === 'network' || name === 'shortcut' ? text : Number(text)] as const;
  });
  return graphOf(resolveConfig(Object.fromEntries(fields)));
}

function enginesIn(list: string | undefined, benchArgs: readonly string[]): string[] {
  const { values } = parseArgs({ args: [...benchArgs], options: { engine: { type: 'string' } }, strict: false });
  const named = typeof values.engine === 'string' ? values.engine : undefined;
  if (list !== undefined && named !== undefined) {
    throw badOption(`--engines is ${list} and --engine is ${named}: give only one`);
  }
  const engines = (list ?? named ?? 'wasm').split(',');
  if (engines.some((engine) => engine === '')) throw badOption(`--engines is ${list}: give names separated by commas`);
  return engines;
}

function isaOf(level: string | undefined): Readonly<Record<string, string>> {
  if (level === undefined) return {};
  const levels = Object.keys(isaVariables);
  if (!levels.includes(level)) throw badOption(`--isa is ${level}: use ${levels.join(' or ')}`);
  return isaVariables[level];
}

/** Returns the cores to run on, or undefined to leave the choice to the system. */
function cpusOf(cpus: string | undefined, threads: number, cores: number, hasTaskset: boolean): string | undefined {
  if (cpus === 'all') return undefined;
  if (cpus === undefined) {
    if (!hasTaskset || threads > cores) return undefined;
    return threads === 1 ? '0' : `0-${threads - 1}`;
  }
  if (!hasTaskset) throw badOption(`--cpus is ${cpus}, but there is no taskset: install util-linux, or use --cpus all`);
  return cpus;
}

function tasksetExists(): boolean {
  return spawnSync('taskset', ['--version']).status === 0;
}

function defaultPeer(
  environment: NodeJS.ProcessEnv,
  shared: ReadonlyMap<string, string>,
  processes: number,
  seconds: number,
): [string, ...string[]] {
  // The benchmarks are compiled to dist/test/bench; the Python file stays in the source tree.
  const script = fileURLToPath(new URL('../../../../test/bench/peers/torch_network.py', import.meta.url));
  const options = [...shared].flatMap(([name, value]) => [`--${name}`, value]);
  const python = environment['LOCKSTEP_TORCH_PYTHON'] || 'python3';
  return [python, script, '--processes', String(processes), '--seconds', String(seconds), ...options];
}

function countOf(option: string, value: string): number {
  const count = Number(value);
  if (Number.isInteger(count) && count >= 1) return count;
  throw badOption(`${option} is ${value}: give a whole number from 1`);
}

function badOption(message: string): LockstepError {
  return new LockstepError('bad-option', message);
}
