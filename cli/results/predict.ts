// lockstep predict: what a trained model takes pictures for.
import { Option, type Command } from 'commander';
import { fits, type Fit } from '../../inference/images/resize.js';
import { predict, type Predictions } from '../../inference/predict.js';
import { engineNames, type EngineName } from '../../worker/engines/registry.js';
import { parseWholeNumber } from '../options/config-options.js';

const shownClasses = 5;

export function addPredictCommand(program: Command): void {
  program
    .command('predict')
    .description('say what pictures show: the five best classes of each, with probabilities')
    .argument('<CHECKPOINT>', 'a checkpoint, or a run’s folder, which means its latest')
    .argument('<IMAGE...>', 'PNG or JPEG files of any size')
    .addOption(
      new Option('--fit <HOW>', 'how a picture becomes a square: its middle, or all of it out of proportion')
        .choices(fits)
        .default('crop'),
    )
    .addOption(new Option('--engine <ENGINE>', 'what to compute with').choices(engineNames).default('wasm'))
    .option('--threads <N>', 'threads to compute with', '1')
    .option('--json', 'print JSON, with all ten classes', false)
    .action(
      async (
        checkpoint: string,
        images: string[],
        options: { fit: Fit; engine: EngineName; threads: string; json: boolean },
      ) => {
        const { fit, engine, json } = options;
        const threads = parseWholeNumber('--threads', options.threads, 1, 1024);
        const predictions = await predict({ checkpoint, images, fit, engine, threads });
        const lines = json ? [JSON.stringify(predictions, null, 2)] : describePredictions(predictions);
        for (const line of lines) program.configureOutput().writeOut?.(`${line}\n`);
      },
    );
}

function describePredictions({ predictions }: Predictions): string[] {
  return predictions.flatMap(({ image, width, height, classes }, index) => [
    ...(index > 0 ? [''] : []),
    `${image} (${width}×${height})`,
    ...classes
      .slice(0, shownClasses)
      .map(({ name, probability }) => `${(100 * probability).toFixed(1).padStart(7)}%  ${name}`),
  ]);
}
