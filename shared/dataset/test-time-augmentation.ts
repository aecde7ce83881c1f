// The views of an image whose logits are averaged to classify it. Pure.
import { cropMargin, packAugmentation } from './image-batch.js';

export const testTimeAugmentations = ['none', 'flip', 'flip-and-shift'] as const;
/**
 * `flip` averages the logits of the image and its mirror image. `flip-and-shift` also takes both of them shifted by one
 * pixel up-left and down-right, with half the weight, and pads them by reflection (Jordan 2024, arXiv:2404.00498).
 */
export type TestTimeAugmentation = (typeof testTimeAugmentations)[number];

export interface View {
  /** Packed augmentation; see packAugmentation. */
  augmentation: number;
  /** Share of the average. */
  weight: number;
}

function bothWays(shift: number, weight: number): View[] {
  // Shifts apply to the image before it is mirrored. An augmentation flips first, so its horizontal shift is the opposite.
  return [false, true].map((flipped) => ({
    augmentation: packAugmentation(cropMargin + shift, cropMargin + (flipped ? -shift : shift), flipped, 'reflect'),
    weight: weight / 2,
  }));
}

const views: Record<Exclude<TestTimeAugmentation, 'none'>, readonly View[]> = {
  flip: bothWays(0, 1),
  'flip-and-shift': [...bothWays(0, 0.5), ...bothWays(-1, 0.25), ...bothWays(1, 0.25)],
};

/** Returns the views; none if the image is classified as it is. Their weights add up to 1. */
export function viewsOf(name: TestTimeAugmentation): readonly View[] {
  return name === 'none' ? [] : views[name];
}
