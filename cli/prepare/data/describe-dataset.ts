// Describes a dataset: the shape of its images, its splits, and the images per class.
import { splitNames, type Manifest } from '../../../datasets/packed/manifest.js';
import { formatInteger } from '../../output/format.js';
import { printable } from '../../output/printer.js';
import { formatTable } from '../../output/table.js';

const fits = { crop: ', cropped to this size', squeeze: ', squeezed to this size' };

export function describeManifest({
  description,
  splits,
  source,
}: Pick<Manifest, 'description' | 'splits' | 'source'>): string[] {
  const { name, height, width, channels, classNames, fit, flippable = true } = description;
  const present = splitNames.flatMap((split) => (splits[split] === null ? [] : [{ split, ...splits[split] }]));
  const counts = (label: string, values: readonly number[]) => [printable(label), ...values.map(formatInteger)];
  const rows = [
    ['dataset', printable(name)],
    ['source', printable(source)],
    ['images', `${width}×${height}, ${channels === 1 ? 'gray' : 'RGB'}${fit === null ? '' : fits[fit]}`],
    ['classes', formatInteger(classNames.length)],
    ...(flippable ? [] : [['flips', 'none, because a mirrored image may show something else']]),
  ];
  const isLeft = () => false;
  return [
    ...formatTable(rows, isLeft),
    '',
    ...formatTable(
      [
        ['split', 'images', 'SHA-256'],
        ...present.map(({ split, records, sha256 }) => [split, formatInteger(records), sha256]),
      ],
      (column) => column === 1,
    ),
    '',
    ...formatTable([
      ['class', ...present.map(({ split }) => split)],
      ...classNames.map((className, label) =>
        counts(
          className,
          present.map(({ perClass }) => perClass[label]),
        ),
      ),
      counts(
        'all',
        present.map(({ records }) => records),
      ),
    ]),
  ];
}
