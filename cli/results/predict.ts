// lockstep predict: classifies images with a trained model.
import { Option, type Command } from 'commander';
import { imageFits, type ImageFit } from '../../shared/dataset/description.js';
import type { TestTimeAugmentation } from '../../shared/dataset/test-time-augmentation.js';
import { predict, type Predictions } from '../../inference/predict.js';
import type { EngineName } from '../../shared/engine-names.js';
import { testTimeAugmentationOption } from '../options/config-options.js';
import { engineOption, threadsOption } from '../options/engine-options.js';
import { wholeNumberOption } from '../options/number-options.js';
import { formatPercent } from '../output/format.js';
import { printLines } from '../output/printer.js';

const defaultTop = 5;

interface PredictOptionValues {
  fit?: ImageFit;
  testTimeAugmentation?: TestTimeAugmentation;
  engine: EngineName;
  threads: number;
  top: number;
  json?: true;
}

export function configure(command: Command): void {
  command
    .description('Classify images: print the most probable classes of each.')
    .argument('<CHECKPOINT>', 'checkpoint, or a run directory for its latest one')
    .argument('<IMAGE...>', 'JPEG, PNG, WebP, GIF, TIFF or AVIF files of any size')
    .addOption(
      new Option(
        '--fit <MODE>',
        'how to give an image the shape of the training images: crop it to its center, or squeeze it (default: as the ' +
          'training images were resized, otherwise crop)',
      ).choices(imageFits),
    )
    .addOption(testTimeAugmentationOption())
    .addOption(engineOption('wasm', 'the first one that loads'))
    .addOption(threadsOption('CPU threads'))
    .addOption(wholeNumberOption('--top <N>', 'number of classes to print', 1).default(defaultTop))
    .option('--json', 'print JSON with the probabilities of all classes')
    .action(async (checkpoint: string, images: string[], { json, top, ...options }: PredictOptionValues) => {
      const predictions = await predict({ checkpoint, images, ...options });
      printLines(command, json ? [JSON.stringify(predictions, null, 2)] : describePredictions(predictions, top));
    });
}

function describePredictions({ predictions }: Predictions, top: number): string[] {
  return predictions.flatMap(({ image, width, height, classes }, index) => [
    ...(index > 0 ? [''] : []),
    `${image} (${width}×${height})`,
    ...classes.slice(0, top).map(({ name, probability }) => `${formatPercent(probability, 1).padStart(8)}  ${name}`),
  ]);
}
