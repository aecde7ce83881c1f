// Measures training over slow links, beside PyTorch's DistributedDataParallel on the same links.
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { formatTable } from '../../../cli/output/table.js';
import { writeCifar10 } from '../../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../../shared/dataset/synthesize.js';
import { exitStatuses, LockstepError } from '../../../shared/errors.js';
import { processorName } from '../../../shared/processor.js';
import { lockstepVersion } from '../../../shared/version.js';
import { whyNoRoom } from '../../support/network-room.js';
import { measureDdp } from './ddp.js';
import { openHosts } from './hosts.js';
import { measureLockstep, trainingImages } from './lockstep.js';
import { summarize, type CaseSummary, type Measurement } from './measurement.js';
import { nameOf, planOf, subjectOf, usage, type Case, type LinksPlan } from './options.js';

export async function benchLinks(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { help: { type: 'boolean', short: 'h' } }, strict: false });
  if (values.help === true) {
    process.stdout.write(usage);
    return;
  }
  try {
    const plan = planOf(args);
    const problem = await whyNoRoom();
    if (problem !== undefined) throw new LockstepError('bad-option', problem);
    const summaries = summarize(await measureInTurns(plan));
    if (plan.json) for (const summary of summaries) say(JSON.stringify({ type: 'summary', ...summary }));
    else for (const line of describe(plan, summaries)) say(line);
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = exitStatuses[error.code];
  }
}

async function measureInTurns(plan: LinksPlan): Promise<Map<Case, Measurement[]>> {
  const folder = await mkdtemp(path.join(tmpdir(), 'lockstep-links-'));
  try {
    const data = path.join(folder, 'data');
    await writeCifar10(data, synthesizeDataset({ trainingImages, testImages: 1 }));
    const turns = new Map<Case, Measurement[]>(plan.cases.map((each) => [each, []]));
    for (let round = 0; round < plan.rounds; round++) {
      // Reversing every other round cancels a steady drift of the machine's speed.
      const order = round % 2 === 0 ? [...turns] : [...turns].toReversed();
      for (const [each, measured] of order) {
        const measurement = await measureCase(each, plan, { data, runs: folder });
        measured.push(measurement);
        const [link, { subject }] = [nameOf(each.link), each];
        if (plan.json) say(JSON.stringify({ type: 'turn', round, link, subject, ...measurement }));
        else process.stderr.write(`${link}: ${subject}: ${measurement.imagesPerSecond.toFixed(1)} images/s\n`);
      }
    }
    return turns;
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function measureCase(
  { link, subject }: Case,
  { seconds, engine }: LinksPlan,
  folders: { data: string; runs: string },
): Promise<Measurement> {
  const what = subjectOf(subject);
  const hosts = await openHosts(link, 'lockstep' in what ? 1 : 2);
  try {
    return 'lockstep' in what
      ? await measureLockstep(hosts, { options: what.lockstep, engine, seconds, ...folders })
      : await measureDdp(hosts, { hook: what.hook, seconds });
  } finally {
    await hosts.close();
  }
}

function describe({ rounds, engine }: LinksPlan, summaries: readonly CaseSummary[]): string[] {
  const number = (value: number | null, digits: number) => (value === null ? '' : value.toFixed(digits));
  const rows = summaries.map((row) => [
    row.link,
    row.subject,
    row.imagesPerSecond.toFixed(1),
    number(row.sentPerStep && row.sentPerStep / 1000, 1),
    number(row.receivedPerStep && row.receivedPerStep / 1000, 1),
    number(row.toFloat32, 2),
    number(row.toBestDdp, 2),
    number(row.toLoopback, 2),
  ]);
  const titles = ['link', 'subject', 'images/s', 'kB sent/step', 'kB received/step'];
  return [
    `ResNet-20, 128 images per step, two workers, engine ${engine}; medians of ${rounds} ${rounds === 1 ? 'turn' : 'turns'}; ` +
      'links in Mbit/s and ms of a round trip; bytes of one worker with TCP/IP headers',
    ...formatTable([[...titles, 'to float32', 'to best DDP', 'to loopback'], ...rows]),
    `processor: ${processorName()}, ${availableParallelism()} cores`,
    `versions: Lockstep ${lockstepVersion}, Node.js ${process.versions.node}`,
  ];
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
