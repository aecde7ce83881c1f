// Measures training steps of Lockstep beside those of a peer, PyTorch by default. The turns alternate, because the speed
// of a shared machine changes: only the ratio of neighboring turns counts.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { formatTable } from '../../../cli/output/table.js';
import { exitStatuses, LockstepError } from '../../../shared/errors.js';
import { instructionSets, processorName } from '../../../shared/processor.js';
import { lockstepVersion } from '../../../shared/version.js';
import { summaryOf } from '../paired.js';
import { measure, type PeerResult } from './measure.js';
import { planOf, usage, type PeersPlan, type Subject } from './options.js';

/** Instruction sets that the engines and PyTorch choose their kernels by, as named in /proc/cpuinfo. */
const shownSets = ['avx2', 'fma', 'avx_vnni', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_tile', 'amx_bf16'];

/** Turns of each subject, in the order of the rounds. */
type Turns = ReadonlyMap<Subject, PeerResult[]>;

export async function benchPeers(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { help: { type: 'boolean', short: 'h' } }, strict: false });
  if (values.help === true) {
    process.stdout.write(usage);
    return;
  }
  try {
    const plan = planOf(args, process.env);
    const turns = await measureInTurns(plan);
    process.stdout.write(`${describe(plan, turns).join('\n')}\n`);
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = exitStatuses[error.code];
  }
}

async function measureInTurns({ rounds, lockstep, peer }: PeersPlan): Promise<Turns> {
  // The peer comes first: it is the most likely to be missing.
  const turns = new Map<Subject, PeerResult[]>([peer, ...lockstep].map((subject) => [subject, []]));
  for (let round = 0; round < rounds; round++) {
    // Reversing every other round cancels a steady drift of the machine's speed.
    const order = round % 2 === 0 ? [...turns] : [...turns].toReversed();
    for (const [subject, results] of order) {
      const result = await measure(subject);
      results.push(result);
      const rate = result.imagesPerSecond.toFixed(1);
      process.stderr.write(`round ${round + 1} of ${rounds}: ${subject.name}: ${rate} images/s\n`);
    }
  }
  return turns;
}

function describe({ rounds, lockstep, peer, conditions }: PeersPlan, turns: Turns): string[] {
  const ratesOf = (subject: Subject) => turns.get(subject)!.map(({ imagesPerSecond }) => imagesPerSecond);
  const peerRates = ratesOf(peer);
  const rows = [...lockstep, peer].map((subject) => {
    const rates = ratesOf(subject);
    const ratios = summaryOf(rates.map((rate, round) => rate / peerRates[round]));
    return [
      subject.name,
      summaryOf(rates).median.toFixed(1),
      ...(subject === peer
        ? ['', '']
        : [ratios.median.toFixed(3), ratios.quartiles.map((quartile) => quartile.toFixed(3)).join(' to ')]),
    ];
  });
  const sets = instructionSets(shownSets);
  return [
    `training steps, ${conditions}; n = ${rounds} ${rounds === 1 ? 'round' : 'rounds'} in turns`,
    ...formatTable([['subject', 'images/s (median)', 'ratio to peer (median)', 'quartiles'], ...rows]),
    `processor: ${processorName()}, ${availableParallelism()} cores${sets === null ? '' : `, ${sets.join(' ')}`}`,
    `versions: Lockstep ${lockstepVersion}, Node.js ${process.versions.node}`,
    ...[...lockstep, peer].map((subject) => `  ${subject.name}: ${turns.get(subject)![0].versions || 'not stated'}`),
  ];
}
