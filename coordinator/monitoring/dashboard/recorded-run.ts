// What a run's folder tells of a run that nobody computes any more, as the messages that its page is sent.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { resolveConfig, totalStepsOf, type Config } from '../../../shared/config/config.js';
import { LockstepError, messageOf, systemCodeOf } from '../../../shared/errors.js';
import type { Ending, ReportSummary, WatchMessage } from '../../../shared/monitoring/messages.js';
import { factsOf } from './facts.js';
import { readMetrics, RunRecord } from './run-record.js';

const metrics = z.object({ loss: z.number(), accuracy: z.number() });
const report = z.object({
  weightsSha256: z.string(),
  exact: z.boolean(),
  imagesSeen: z.number(),
  imagesPerSecond: z.number(),
  wallSeconds: z.number(),
  test: metrics,
  // Runs of earlier versions do not tell of each worker.
  workers: z
    .array(
      z.object({
        name: z.string(),
        images: z.number(),
        busySeconds: z.number(),
        waitSeconds: z.number(),
        timesWaitedFor: z.number(),
        secondsWaitedFor: z.number(),
      }),
    )
    .default([]),
}) satisfies z.ZodType<ReportSummary>;

/** Reads it anew, so that a run that does go on is shown as far as it is. Throws `bad-option` for what is no run's folder. */
export async function readRecordedRun(directory: string): Promise<readonly WatchMessage[]> {
  const config = await readConfig(directory);
  const record = new RunRecord();
  await readMetrics(path.join(directory, 'metrics.jsonl'), record);
  const stepsPerEpoch = record.stepsPerEpoch;
  const facts = factsOf(config, {
    runId: path.resolve(directory),
    runDirectory: directory,
    dataset: config.data === null ? '' : `images: ${config.data}`,
    totalSteps: totalStepsOf(config, stepsPerEpoch),
    stepsPerEpoch,
  });
  const { steps, evaluations, events } = record;
  return [
    { type: 'run', facts, isRecorded: true },
    { type: 'history', steps: steps.columns(), evaluations, events, live: null },
    { type: 'ended', ending: await readEnding(directory) },
  ];
}

async function readConfig(directory: string): Promise<Config> {
  const file = path.join(directory, 'config.json');
  try {
    return resolveConfig(z.record(z.string(), z.unknown()).parse(JSON.parse(await readFile(file, 'utf8'))));
  } catch (cause) {
    const code = systemCodeOf(cause);
    const why =
      code === 'ENOENT'
        ? 'it has no config.json'
        : code === 'ENOTDIR'
          ? 'it is a file'
          : `config.json: ${messageOf(cause)}`;
    throw new LockstepError('bad-option', `${directory} is no run's folder (${why}): name one, such as runs/<time>`, {
      cause,
    });
  }
}

async function readEnding(directory: string): Promise<Ending> {
  try {
    const text = await readFile(path.join(directory, 'report.json'), 'utf8');
    return { how: 'finished', message: null, report: report.parse(JSON.parse(text)) };
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    return { how: 'interrupted', message: 'it has no report.json, or it is still going on', report: null };
  }
}
