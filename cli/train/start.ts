// lockstep start, which is `npm start`: a first run that shows learning in a minute or two and says what comes next.
import path from 'node:path';
import type { Command } from 'commander';
import type { Report } from '../../coordinator/run/report.js';
import { defaultRunDirectory, RunDirectory } from '../../coordinator/run/run-directory.js';
import type { RunEventOf } from '../../coordinator/run/run-events.js';
import { resolveConfig } from '../../shared/config/config.js';
import { defaultDataDirectory, holdsCifar10, writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { train } from '../../single-node/train.js';
import { parseWholeNumber } from '../options/config-options.js';
import { duration, RateLimitedPrinter, standardOutput } from '../output/line-writer.js';
import { personView } from '../output/run-view.js';
import { follow } from './training.js';

/** About 80 seconds on two cores without a GPU. */
const defaultSteps = 350;
/** Enough to learn from in so few steps, drawn in less than a second; an epoch is 70 steps, each with a validation. */
const syntheticImages = { trainingImages: 10_000, testImages: 2_000 };
/** Steps whose mean is the accuracy at the beginning. */
const firstSteps = 10;

/** The recipe with its schedule in miniature: the rate falls at half and at three quarters of the run, as in 64,000 steps. */
function startRecipe(steps: number) {
  return { steps, learningRateBoundaries: [Math.floor(steps / 2), Math.floor((3 * steps) / 4)] };
}

/** Draws them into the run's folder, where evaluate and --resume find them again. @returns the folder of the images */
export async function drawImages(runDirectory: string): Promise<string> {
  const folder = path.join(runDirectory, 'images');
  await writeCifar10(folder, synthesizeDataset(syntheticImages), { overwrite: true });
  return folder;
}

export function addStartCommand(program: Command): void {
  program
    .command('start')
    .description('a first run on this machine: ./data if it holds CIFAR-10, else drawn images; then what to run next')
    .option('--steps <N>', 'optimizer updates', String(defaultSteps))
    .option('--run-dir <DIR>', 'where the run is written (default: runs/<time>)')
    .action(async ({ steps = '', runDir }: { steps?: string; runDir?: string }) => {
      const recipe = startRecipe(parseWholeNumber('--steps', steps, 4));
      const hasRealImages = await holdsCifar10(defaultDataDirectory);
      const directory = runDir ?? defaultRunDirectory(new Date());
      await new RunDirectory(directory).assertFree();
      const writer = new RateLimitedPrinter(standardOutput);
      if (!hasRealImages) {
        writer.line(`./${defaultDataDirectory} holds no CIFAR-10: this run learns drawn images of ten classes`);
      }
      const data = hasRealImages ? defaultDataDirectory : await drawImages(directory);
      const run = await train({ ...recipe, runDir: directory, data });
      const beginning: RunEventOf<'step'>[] = [];
      run.events.on('step', (step) => {
        if (step.step <= firstSteps) beginning.push(step);
      });
      await follow(run, personView(writer, false), { kill: () => run.kill() });
      const report = await run.report;
      writer.line('');
      writer.line(describeLearning(beginning, report));
      writer.line('');
      const situation = {
        command: commandAsTyped(process.argv[1] ?? ''),
        hasRealImages,
        runDirectory: run.runDirectory,
      };
      for (const line of describeNextSteps(situation, report)) writer.line(line);
    });
}

/** How a person would start this program from here: a checkout's file, or the name of the installed command. */
function commandAsTyped(script: string): string {
  return path.extname(script) === '.js' ? `node ${path.relative('', script)}` : 'lockstep';
}

function describeLearning(beginning: readonly { accuracy: number }[], report: Pick<Report, 'train' | 'test'>): string {
  const before = beginning.reduce((sum, { accuracy }) => sum + accuracy, 0) / beginning.length;
  return (
    `It learned: ${percent(before)} of the training images were right at the beginning, ${percent(report.train.accuracy)} ` +
    `in the last epoch; of the test images, which it had never seen, ${percent(report.test.accuracy)}. Guessing gives 10%.`
  );
}

function percent(part: number): string {
  return `${(100 * part).toFixed(0)}%`;
}

export function describeNextSteps(
  situation: {
    /** As a person types it. */
    command: string;
    hasRealImages: boolean;
    runDirectory: string;
  },
  { imagesPerSecond, engines }: Pick<Report, 'imagesPerSecond' | 'engines'>,
): string[] {
  const { command, hasRealImages, runDirectory } = situation;
  const { batchSize } = resolveConfig({});
  const fullRunMs = (1000 * 64_000 * batchSize) / imagesPerSecond;
  const isWithTensorFlow = engines.some(({ engine }) => engine === 'tensorflow');
  return [
    'What to do with this run:',
    '  Its curves, workers and events, in a browser:',
    `    ${command} dashboard ${runDirectory}`,
    '  What each class came to, and what was taken for what:',
    `    ${command} evaluate ${runDirectory}`,
    ...(hasRealImages ? ['  What a picture of yours shows:', `    ${command} predict ${runDirectory} cat.jpg`] : []),
    '  The model for others: keras, savedmodel, tfjs, onnx or safetensors:',
    `    ${command} export ${runDirectory} --to onnx --out model.onnx`,
    '',
    'What to run next:',
    ...(hasRealImages ? [] : ['  CIFAR-10 itself (170 MB, into ./data):', `    ${command} data download`]),
    `  The whole recipe, about ${duration(fullRunMs)} on this machine alone (Ctrl-C saves, --resume goes on):`,
    `    ${command} train`,
    '  The same weights sooner, with other machines; on this one and on each of the others:',
    `    LOCKSTEP_TOKEN=<secret> ${command} coordinator --host 0.0.0.0 --min-workers 2`,
    `    LOCKSTEP_TOKEN=<secret> ${command} worker ws://<this machine's address>:7350`,
    ...(isWithTensorFlow
      ? []
      : ['  TensorFlow for the workers, with CUDA where there is a GPU:', `    ${command} setup-tensorflow`]),
    '  How fast this machine is, and where the time goes:',
    `    ${command} bench`,
  ];
}
