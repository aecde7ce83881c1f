// Reads a run directory and returns the messages to send to a dashboard page.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { resolveConfig, totalStepsOf, type Config } from '../../../shared/config/config.js';
import { ifMissing, LockstepError, messageOf, systemCodeOf } from '../../../shared/errors.js';
import type { Ending, ReportSummary, WatchMessage } from '../../../shared/monitoring/messages.js';
import { cifar10Description } from '../../../shared/dataset/cifar10-layout.js';
import { recordFormatOf } from '../../../shared/dataset/record-format.js';
import { graphOf } from '../../../shared/config/network-config.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { loadNewestIntact } from '../../run/checkpoints/load-checkpoint.js';
import { factsOf } from './facts.js';
import { readHistory } from './run-history.js';

const report = z.object({
  weightsSha256: z.string(),
  exact: z.boolean(),
  imagesSeen: z.number(),
  imagesPerSecond: z.number(),
  wallSeconds: z.number(),
  test: z.object({ loss: z.number(), accuracy: z.number() }).nullable(),
  workers: z.array(
    z.object({
      name: z.string(),
      images: z.number(),
      busySeconds: z.number(),
      waitSeconds: z.number(),
      timesWaitedFor: z.number(),
      secondsWaitedFor: z.number(),
    }),
  ),
}) satisfies z.ZodType<ReportSummary>;

/** Reads a run directory; the run may still be in progress. Throws `bad-option` if it is not a run directory. */
export async function readRecordedRun(directory: string): Promise<readonly WatchMessage[]> {
  const config = await readConfig(directory);
  const { steps, evaluations, events, stepsPerEpoch } = await readHistory(path.join(directory, 'metrics.jsonl'));
  // Without a checkpoint, only the default images are known.
  const checkpoint = await loadNewestIntact(path.join(directory, 'checkpoints'));
  const { dataset, layout } = checkpoint ?? {
    dataset: cifar10Description,
    layout: layoutNetwork(graphOf(config), recordFormatOf(cifar10Description)),
  };
  const kind = dataset.name === cifar10Description.name ? 'CIFAR-10 files' : dataset.name;
  const facts = factsOf(config, {
    model: layout.graph.name,
    runId: path.resolve(directory),
    runDirectory: directory,
    dataset: config.data === null ? '' : `${kind} in ${config.data}`,
    trainableWeights: layout.weightsSize,
    totalSteps: totalStepsOf(config, stepsPerEpoch),
    stepsPerEpoch,
  });
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
    throw new LockstepError(
      'bad-option',
      `${directory} is not a run directory (${why}): specify one, such as runs/first`,
      {
        cause,
      },
    );
  }
}

async function readEnding(directory: string): Promise<Ending> {
  const text = await readFile(path.join(directory, 'report.json'), 'utf8').catch(ifMissing(undefined));
  return text === undefined
    ? { how: 'interrupted', message: 'there is no report.json yet; the run may still be running' }
    : { how: 'finished', report: report.parse(JSON.parse(text)) };
}
