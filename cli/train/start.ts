// lockstep start, also `npm start`: a short training run that shows learning within a minute or two, and then what to
// do next.
import path from 'node:path';
import type { Command } from 'commander';
import type { Report } from '../../coordinator/run/report.js';
import { defaultRunDirectory, RunDirectory } from '../../coordinator/run/run-directory.js';
import { resolveConfig } from '../../shared/config/config.js';
import { defaultDataDirectory, holdsCifar10, writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { train } from '../../single-node/train.js';
import { wholeNumberOption } from '../options/number-options.js';
import { formatDuration, formatPercent } from '../output/format.js';
import { RateLimitedPrinter, standardOutput } from '../output/printer.js';
import { personView } from '../output/run-view.js';
import { follow } from './follow.js';

/** Default number of steps, which takes about 80 seconds on two CPU cores without a GPU. */
const defaultSteps = 350;
/**
 * Numbers of synthetic images: enough to learn from in `defaultSteps` steps, and few enough to be synthesized in less
 * than a second. An epoch takes 70 steps and ends with a validation.
 */
const syntheticImages = { trainingImages: 10_000, testImages: 2_000 };
/** Number of steps over which the initial accuracy is averaged. */
const firstSteps = 10;

export function configure(command: Command): void {
  command
    .description(
      `Train briefly on this machine and show what to do next. It uses the CIFAR-10 images in ./${defaultDataDirectory} ` +
        'if they are there, and synthetic images otherwise.',
    )
    .addOption(wholeNumberOption('--steps <N>', 'number of steps (optimizer updates)', 4).default(defaultSteps))
    .option('--run-dir <DIR>', 'run directory, for checkpoints, metrics and the report (default: runs/<time>)')
    .action(async ({ steps, runDir }: { steps: number; runDir?: string }) => {
      const directory = runDir ?? defaultRunDirectory(new Date());
      await new RunDirectory(directory).assertFree();
      const printer = new RateLimitedPrinter(standardOutput);
      const hasRealImages = await holdsCifar10(defaultDataDirectory);
      if (!hasRealImages) {
        printer.line(
          `./${defaultDataDirectory} does not contain CIFAR-10: training on synthetic images of ten classes`,
        );
      }
      const data = hasRealImages ? defaultDataDirectory : await synthesizeImages(directory);
      const run = await train({ ...shortRecipe(steps), runDir: directory, data });
      const firstAccuracies: number[] = [];
      run.events.on('step', ({ step, accuracy }) => {
        if (step <= firstSteps) firstAccuracies.push(accuracy);
      });
      await follow(run, personView(printer, false), { kill: () => run.kill() });
      const report = await run.report;
      const lines = [
        '',
        describeLearning(firstAccuracies, report),
        '',
        ...describeNextSteps(ownCommand(process.argv[1] ?? ''), hasRealImages, run.runDirectory, report),
      ];
      printer.line(...lines);
    });
}

/** Reduces the learning rate after one half and three quarters of the run, as in the full recipe of 64,000 steps. */
function shortRecipe(steps: number) {
  return { steps, learningRateBoundaries: [Math.floor(steps / 2), Math.floor((3 * steps) / 4)] };
}

/**
 * Writes synthetic images to the run directory, where `evaluate` and --resume find them. @returns the folder of the
 * images
 */
export async function synthesizeImages(runDirectory: string): Promise<string> {
  const folder = path.join(runDirectory, 'images');
  await writeCifar10(folder, synthesizeDataset(syntheticImages), { overwrite: true });
  return folder;
}

/**
 * Returns the command that runs this program: `node` and a file in a checkout, or the name of the installed command.
 */
function ownCommand(script: string): string {
  return path.extname(script) === '.js' ? `node ${path.relative('', script)}` : 'lockstep';
}

function describeLearning(firstAccuracies: readonly number[], report: Pick<Report, 'train' | 'test'>): string {
  const first = firstAccuracies.reduce((sum, accuracy) => sum + accuracy, 0) / firstAccuracies.length;
  const trained = `Training accuracy: ${formatPercent(first)} in the first steps, ${formatPercent(report.train.accuracy)} in the last epoch.`;
  if (report.test === null) return trained;
  return `${trained} Accuracy on the test images, which the network had not seen: ${formatPercent(report.test.accuracy)}. Guessing gives 10%.`;
}

/** @param command command that runs this program, for example `lockstep` */
export function describeNextSteps(
  command: string,
  hasRealImages: boolean,
  runDirectory: string,
  { imagesPerSecond, engines }: Pick<Report, 'imagesPerSecond' | 'engines'>,
): string[] {
  const fullRunMs = (1000 * 64_000 * resolveConfig({}).batchSize) / imagesPerSecond;
  const usesTensorFlow = engines.some(({ engine }) => engine === 'tensorflow');
  return [
    'Explore this run:',
    '  View its curves, workers and events in a browser:',
    `    ${command} dashboard ${runDirectory}`,
    '  Measure the accuracy of each class, and see which classes are confused:',
    `    ${command} evaluate ${runDirectory}`,
    ...(hasRealImages ? ['  Classify an image of your own:', `    ${command} predict ${runDirectory} cat.jpg`] : []),
    '  Export the model for Keras, TensorFlow, TensorFlow.js, ONNX or safetensors:',
    `    ${command} export ${runDirectory} --out model.onnx`,
    '',
    'Go further:',
    ...(hasRealImages ? [] : ['  Download CIFAR-10 (170 MB) into ./data:', `    ${command} data download`]),
    `  Train the full recipe, which takes about ${formatDuration(fullRunMs)} on this machine (Ctrl-C saves, --resume continues):`,
    `    ${command} train`,
    '  Train on several machines: a coordinator on this one, and a worker on each machine:',
    `    LOCKSTEP_TOKEN=<secret> ${command} coordinator --host 0.0.0.0 --min-workers 2`,
    `    LOCKSTEP_TOKEN=<secret> ${command} worker ws://<this machine's address>:7350`,
    ...(usesTensorFlow ? [] : ['  Set up TensorFlow, with CUDA if there is a GPU:', `    ${command} setup-tensorflow`]),
    '  Measure the speed of this machine:',
    `    ${command} bench`,
  ];
}
