// lockstep status and lockstep workers: what a running coordinator is doing, as text or as the JSON that it told.
import type { Command } from 'commander';
import type { RunStatus, WorkerStatus } from '../../shared/monitoring/run-status.js';
import { assertUseFor, readClientTls } from '../../shared/protocol/client-tls.js';
import { addressOf, askStatus } from '../client/ask-coordinator.js';
import { countOf, duration, timeLeft } from '../output/line-writer.js';
import { visible } from '../../shared/visible-text.js';
import { addClientTlsOptions, readClientTlsOptions } from '../options/tls-options.js';
import { tokenFileOption, tokenOption, workerToken } from '../options/token-options.js';

export function addStatusCommands(program: Command): void {
  addAskingCommand(program, 'status', 'what a running coordinator is doing', describeRun);
  addAskingCommand(
    program,
    'workers',
    'the workers of a running coordinator, and where their time goes',
    describeWorkers,
  );
}

function addAskingCommand(
  program: Command,
  name: string,
  description: string,
  describe: (status: RunStatus) => string,
): void {
  addClientTlsOptions(
    program.command(`${name} <url>`).description(`${description}: http://HOST:PORT, or the URL that its workers use`),
  )
    .option('--json', 'print what /status answers')
    .addOption(tokenOption('what the coordinator is shown; needed where it listens on other than a loopback address'))
    .addOption(tokenFileOption('a file that holds the token'))
    .action(async (url: string, { json }: { json?: true }, command: Command) => {
      const tls = readClientTls(readClientTlsOptions(command.opts()));
      assertUseFor(tls, addressOf(url).origin);
      const { status, text } = await askStatus(url, { token: workerToken(command), tls });
      process.stdout.write(json ? `${JSON.stringify(JSON.parse(text), null, 2)}\n` : describe(status));
    });
}

function describeRun({ lockstepVersion, time, run, workers }: RunStatus): string {
  const here = workers.filter(({ state }) => state !== 'lost').length;
  const ms = (from: string) => Date.parse(time) - Date.parse(from);
  const needed = run.phase === 'waiting' ? ` of ${run.workersNeeded} needed` : '';
  const lines = [
    `${run.phase} · ${run.directory} · lockstep ${lockstepVersion}, up for ${duration(ms(run.startedAt))}`,
    `step ${run.step}/${run.steps} · epoch ${run.epoch}/${run.epochs} · loss ${fixed(run.loss)} · ` +
      `accuracy ${fixed(run.accuracy)} · rate ${Number(run.learningRate.toPrecision(6))}`,
    `${run.imagesPerSecond.now.toFixed(0)} images/s now, ${run.imagesPerSecond.mean.toFixed(0)} on average · ` +
      timeLeft(run.secondsLeft),
    ...(['validation', 'test'] as const).flatMap((split) => {
      const metrics = run[split];
      return metrics === null
        ? []
        : [`${split} after step ${metrics.step}: loss ${fixed(metrics.loss)}, accuracy ${fixed(metrics.accuracy)}`];
    }),
    `${countOf(here, 'worker')}${needed} · ${run.workersLost} lost · ${countOf(run.slicesReassigned, 'slice')} reassigned · ` +
      `${countOf(run.stragglers, 'straggler')} · ${run.exact ? 'exact' : 'not exact'}`,
    `${megabytes(run.bytesSent)} sent, ${megabytes(run.bytesReceived)} received`,
    run.checkpoint === null
      ? 'no checkpoint yet'
      : `checkpoint ${run.checkpoint.path}` +
        (run.checkpoint.time === null ? '' : `, ${duration(ms(run.checkpoint.time))} ago`),
  ];
  return `${lines.map(visible).join('\n')}\n`;
}

const columns: readonly { title: string; of: (worker: WorkerStatus) => string; isNumber?: true }[] = [
  { title: 'name', of: ({ name }) => name },
  { title: 'state', of: ({ state }) => state },
  { title: 'engine', of: ({ engine }) => engine },
  { title: 'device', of: ({ device }) => device },
  { title: 'slices', of: ({ slices }) => slices.join(',') || '-' },
  { title: 'shards', of: ({ shards }) => shards.join(',') || '-' },
  { title: 'images/s', of: ({ imagesPerSecond }) => imagesPerSecond.toFixed(0), isNumber: true },
  { title: 'compute', of: ({ timeShares }) => percent(timeShares?.compute), isNumber: true },
  { title: 'network', of: ({ timeShares }) => percent(timeShares?.network), isNumber: true },
  { title: 'waiting', of: ({ timeShares }) => percent(timeShares?.waiting), isNumber: true },
  { title: 'last seen', of: ({ lastSeenSecondsAgo }) => `${lastSeenSecondsAgo.toFixed(1)} s ago`, isNumber: true },
  { title: 'lost', of: ({ timesLost }) => String(timesLost), isNumber: true },
  { title: 'rejoined', of: ({ timesRejoined }) => String(timesRejoined), isNumber: true },
  { title: 'address', of: ({ address, lostReason }) => (lostReason === null ? address : `${address}: ${lostReason}`) },
];

function describeWorkers({ workers }: RunStatus): string {
  if (workers.length === 0) return 'no workers yet\n';
  const rows = [
    columns.map(({ title }) => title),
    ...workers.map((worker) => columns.map(({ of }) => visible(of(worker)))),
  ];
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row) =>
    row
      .map((text, column) => (columns[column].isNumber ? text.padStart(widths[column]) : text.padEnd(widths[column])))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

function fixed(value: number | null): string {
  return value === null ? '-' : value.toFixed(4);
}

function percent(part: number | undefined): string {
  return part === undefined ? '-' : `${(100 * part).toFixed(0)}%`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
