// lockstep train and lockstep coordinator: a thin shell over the library's train and startCoordinator.
import type { Command } from 'commander';
import { startCoordinator, type Coordinator } from '../../coordinator/main.js';
import { defaultPort } from '../../coordinator/connections/access-policy.js';
import { isLoopback } from '../../coordinator/connections/http-access.js';
import { LockstepError } from '../../shared/errors.js';
import { train } from '../../single-node/train.js';
import { describeWorkerExit } from '../../single-node/worker-processes.js';
import type { TimelineOptions, TimelineWindow } from '../../coordinator/monitoring/timeline/timeline-window.js';
import type { ResumeOptions } from '../../coordinator/run/resume.js';
import { addConfigOptions, parseWholeNumber, readConfig } from '../options/config-options.js';
import { parsePort, parseWaitTimeout } from '../options/port-options.js';
import { addEngineOptions, gpusOption, readEngineOptions } from '../options/engine-options.js';
import { openBrowser } from '../process/open-browser.js';
import { addViewOptions, readView, type RunView } from '../output/run-view.js';
import { onStopSignals } from '../process/stop-signals.js';
import { addServerTlsOptions } from '../options/tls-options.js';
import { workerCommand } from './worker-command.js';
import { coordinatorTokens, tokenFileOption, tokenOption } from '../options/token-options.js';

export function addTrainingCommands(program: Command): void {
  addRunOptions(
    addEngineOptions(
      program
        .command('train')
        .description('train on this machine: a coordinator and worker processes over loopback')
        .option('--workers <N>', 'worker processes (default: one per core, at most one a slice)')
        .addOption(gpusOption())
        .option('--port <PORT>', 'port of the coordinator (default: any free one)'),
    ),
  ).action(async (options: Record<string, string | undefined>) => {
    const { workers, gpus, port } = options;
    const run = await train({
      ...(await readRunOptions(options)),
      workers: workers === undefined ? undefined : parseWholeNumber('--workers', workers, 1, 4096),
      gpus,
      ...(await readEngineOptions(options)),
      port: port === undefined ? 0 : parsePort(port),
    });
    const view = readView(options);
    run.processes.on('workerExited', (exit) => view.tell('worker-exited', describeWorkerExit(exit)));
    await follow(run, view, { open: options['open'] !== undefined, kill: () => run.kill() });
  });

  addRunOptions(
    addServerTlsOptions(program.command('coordinator'))
      .description('wait for workers on this and other machines, and train with them')
      .option('--host <ADDRESS>', 'address to listen on; any but a loopback address needs a token', '127.0.0.1')
      .option('--port <PORT>', 'port to listen on; 0 for any free one', String(defaultPort))
      .option('--min-workers <N>', 'workers to wait for before the first step', '1')
      .option('--pause-below <N>', 'workers to wait for before each other step', '1')
      .option(
        '--wait-timeout <SECONDS>',
        'end a run that waits so long for workers, with a checkpoint (default: never)',
      )
      .addOption(tokenOption("an owner's token: who shows it may join, read and operate"))
      .addOption(tokenFileOption('tokens with a name and a role each: lines of NAME ROLE TOKEN')),
  ).action(async (options: Record<string, string | undefined>, command: Command) => {
    const { host = '127.0.0.1', port = String(defaultPort), minWorkers = '1', pauseBelow = '1' } = options;
    const { waitTimeout, tlsCert, tlsKey, tlsClientCa } = options;
    const tokens = coordinatorTokens(command);
    const run = await startCoordinator({
      ...(await readRunOptions(options)),
      host,
      port: parsePort(port),
      minWorkers: parseWholeNumber('--min-workers', minWorkers, 1, 4096),
      pauseBelow: parseWholeNumber('--pause-below', pauseBelow, 1, 4096),
      waitTimeoutMs: parseWaitTimeout(waitTimeout),
      ...tokens,
      tlsCert,
      tlsKey,
      tlsClientCa,
    });
    const view = readView(options);
    view.line(`listening on ${host}:${run.port}; start workers with:`);
    view.line(`  ${workerCommand(run, tokens, { tlsCert, tlsClientCa })}`);
    await follow(run, view, { open: options['open'] !== undefined });
  });
}

/** The configuration, and how a run is taken up again. */
function addRunOptions(command: Command): Command {
  return addViewOptions(addConfigOptions(command))
    .option(
      '--resume [CHECKPOINT]',
      'go on from a checkpoint, or the newest one of a run: CHECKPOINT, else --run-dir, else the run in runs/ that saved ' +
        'last; auto: like no value, and from the beginning where there is none',
    )
    .option('--timeline <FILE>', 'write when what was done in some steps, as a trace for Perfetto')
    .option('--timeline-steps <FROM-TO>', 'these steps, counted from 1 (default: 21 steps from the tenth on)')
    .option('--open', 'open the dashboard in a browser')
    .option('--no-dashboard', "serve no dashboard on the port and take no operator's requests")
    .option('--override', 'resume with another configuration or other images than the checkpoint was made with');
}

async function readRunOptions(options: Readonly<Record<string, string | undefined>>) {
  return {
    ...(await readConfig(options)),
    ...readResumeOptions(options),
    ...readTimelineOptions(options),
    ...readDashboardOptions(options),
  };
}

function readResumeOptions(options: Readonly<Record<string, unknown>>): ResumeOptions {
  const { resume, override } = options;
  if (override === true && resume === undefined) {
    throw new LockstepError('bad-option', '--override is given without --resume: there is nothing to change');
  }
  return { resume: typeof resume === 'string' ? resume : resume === true, override: override === true };
}

function readDashboardOptions(options: Readonly<Record<string, unknown>>): { dashboard: boolean } {
  return { dashboard: options['dashboard'] !== false };
}

function readTimelineOptions(options: Readonly<Record<string, string | undefined>>): { timeline?: TimelineOptions } {
  const { timeline: file, timelineSteps } = options;
  if (file === undefined) {
    if (timelineSteps === undefined) return {};
    throw new LockstepError('bad-option', `--timeline-steps is ${timelineSteps}: name a file with --timeline too`);
  }
  return { timeline: { file, steps: timelineSteps === undefined ? undefined : parseSteps(timelineSteps) } };
}

function parseSteps(text: string): TimelineWindow {
  const match = /^(\d+)-(\d+)$/.exec(text);
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  if (from >= 1 && to >= from && Number.isSafeInteger(to)) return { from, to };
  throw new LockstepError(
    'bad-option',
    `--timeline-steps is ${text}: it must be FROM-TO, two whole numbers from 1 on, for example 10-30`,
  );
}

function showDashboard({ dashboardUrl, host, port }: Coordinator, view: RunView, open: boolean): void {
  if (dashboardUrl === undefined) return;
  const elsewhere = `${new URL(dashboardUrl).protocol}//<this machine's address>:${port}`;
  view.line(`dashboard: ${isLoopback(host) ? dashboardUrl : elsewhere}`);
  if (open) openBrowser(dashboardUrl, (line) => view.tell('no-browser', line));
}

/** Shows a run to its end. The first Ctrl-C or SIGTERM lets the step end and saves, a second one ends at once. */
export async function follow(
  run: Coordinator,
  view: RunView,
  { open = false, kill }: { open?: boolean; kill?: () => void },
): Promise<void> {
  let isStopping = false;
  const ignoreSignals = onStopSignals((signal) => {
    isStopping = true;
    view.notice(`${signal}: finishing the running step and saving; once more to end at once`);
    run.stop(new LockstepError('interrupted', `interrupted by ${signal}`));
  }, kill);
  showDashboard(run, view, open);
  run.events.on('checkpoint', ({ path }) => {
    if (isStopping) view.notice(`saved ${path}`);
  });
  run.events.on('checkpoint-failed', ({ step, reason, lastCheckpoint }) => {
    view.warning(`step ${step} could not be saved (${reason}); ${lastCheckpoint}; the run goes on`);
  });
  run.events.on('metrics-failed', ({ reason }) => {
    view.warning(`metrics.jsonl cannot be written (${reason}); its lines are kept and tried again`);
  });
  run.events.on('tensorboard-failed', ({ reason }) => {
    view.warning(`TensorBoard's event files end here (${reason}); the run goes on`);
  });
  view.begin(run);
  try {
    view.end(await run.report, run);
  } catch (error) {
    view.fail(error);
    throw error;
  } finally {
    ignoreSignals();
  }
}
