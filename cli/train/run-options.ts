// The options that `train` and `coordinator` share: configuration, resuming, monitoring and output.
import { Option, type Command } from 'commander';
import type { TimelineOptions, TimelineWindow } from '../../coordinator/monitoring/timeline/timeline-window.js';
import type { ResumeOptions } from '../../coordinator/run/resume.js';
import { LockstepError } from '../../shared/errors.js';
import { addConfigOptions, readConfig } from '../options/config-options.js';
import { addJoinOptions, readJoinOptions, type JoinOptionValues } from '../options/join-options.js';
import { addViewOptions, type ViewOptionValues } from '../output/run-view.js';

export interface RunOptionValues extends ViewOptionValues, JoinOptionValues {
  resume?: string | true;
  override?: true;
  timeline?: string;
  timelineSteps?: TimelineWindow;
  open?: true;
  dashboard: boolean;
}

export function addRunOptions(command: Command): Command {
  command
    .optionsGroup('Resuming:')
    .option(
      '--resume [CHECKPOINT]',
      'continue a run from a checkpoint, or from the latest one of a run directory. Without a value: the latest ' +
        'checkpoint of --run-dir, or of the most recent run in runs/. auto: the same, but start a new run if no checkpoint exists. ' +
        'The configuration comes from the checkpoint',
    )
    .option(
      '--override',
      "with --resume, accept a configuration or a dataset that differs from the checkpoint's; the report then marks the run as not exact",
    )
    .optionsGroup('Monitoring:')
    .option('--open', 'open the dashboard in a browser')
    .option('--no-dashboard', 'do not serve the dashboard or its controls; the status and /metrics are still served')
    .option('--timeline <FILE>', 'write a trace of some steps, to open in ui.perfetto.dev')
    .addOption(
      new Option(
        '--timeline-steps <FROM-TO>',
        'first and last step to trace, counted from 1 (default: the 10th to 30th step after starting or resuming)',
      ).argParser(parseSteps),
    );
  return addConfigOptions(addViewOptions(addJoinOptions(command)));
}

export async function readRunOptions(options: RunOptionValues) {
  return {
    ...(await readConfig({ ...options })),
    ...readResumeOptions(options),
    ...readTimelineOptions(options),
    ...readJoinOptions(options),
    dashboard: options.dashboard,
  };
}

function readResumeOptions({ resume, override }: RunOptionValues): ResumeOptions {
  if (override && resume === undefined) {
    throw new LockstepError('bad-option', '--override is given without --resume: add --resume, or omit --override');
  }
  return { resume: resume ?? false, override: override === true };
}

function readTimelineOptions({ timeline: file, timelineSteps: steps }: RunOptionValues): {
  timeline?: TimelineOptions;
} {
  if (file !== undefined) return { timeline: { file, steps } };
  if (steps === undefined) return {};
  throw new LockstepError(
    'bad-option',
    '--timeline-steps is given without --timeline: specify the file to write with --timeline',
  );
}

function parseSteps(text: string): TimelineWindow {
  const match = /^(\d+)-(\d+)$/.exec(text);
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  if (from >= 1 && to >= from && Number.isSafeInteger(to)) return { from, to };
  throw new LockstepError(
    'bad-option',
    `--timeline-steps is ${text}: it must be FROM-TO, two whole numbers of at least 1, for example 10-30`,
  );
}
