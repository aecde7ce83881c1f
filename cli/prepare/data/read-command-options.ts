// Options of the commands that read datasets of any format.
import { Option, type Command } from 'commander';
import { imageFits, labelKinds, type ImageFit, type LabelKind } from '../../../shared/dataset/description.js';
import { maxImageSize } from '../../../shared/dataset/description.js';
import { wholeNumberOption } from '../../options/number-options.js';

export interface ReadOptionValues {
  imageSize?: number;
  fit?: ImageFit;
  labels?: LabelKind;
  processes?: number;
  json?: true;
}

export function addReadOptions(command: Command): void {
  command
    .addOption(
      wholeNumberOption(
        '--image-size <N>',
        'image folders: height and width to resize images to, 64 by default',
        1,
        maxImageSize,
      ),
    )
    .addOption(
      new Option('--fit <MODE>', 'image folders: crop images to their center, the default, or squeeze them').choices(
        imageFits,
      ),
    )
    .addOption(
      new Option('--labels <KIND>', 'CIFAR-100: the 100 fine classes, the default, or the 20 coarse ones').choices(
        labelKinds,
      ),
    )
    .addOption(
      wholeNumberOption(
        '--processes <N>',
        'image folders: processes that decode images, one per core by default',
        1,
        256,
      ),
    )
    .option('--json', 'print JSON');
}
