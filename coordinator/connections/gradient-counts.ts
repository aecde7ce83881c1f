// Checks the counts that a worker reports with a partial sum. Pure.
import { ProtocolError } from '../../shared/errors.js';
import type { GradientMessage } from '../../shared/protocol/messages.js';
import { describeRange } from '../../shared/reduction/slices.js';

/**
 * Throws ProtocolError unless the reported counts are possible: the gradient sum is divided by the number of images, so a
 * wrong count would scale the gradient of the whole step.
 */
export function assertGradientCounts({ range, sampleCount, slices }: GradientMessage, imagesPerSlice: number): void {
  const images = range.count * imagesPerSlice;
  if (sampleCount !== images || slices.length !== range.count) {
    throw new ProtocolError(
      `the gradient of ${describeRange(range)} covers ${images} images in ${range.count} slices, but the worker reports ` +
        `${sampleCount} images in ${slices.length}`,
    );
  }
  const wrong = slices.findIndex(({ correctCount }) => correctCount > imagesPerSlice);
  if (wrong < 0) return;
  const claim = `${slices[wrong].correctCount} of ${imagesPerSlice} images correct`;
  throw new ProtocolError(`a worker reports ${claim} in slice ${range.first + wrong}`);
}

/**
 * Throws ProtocolError unless contributions come from a relay, at most one per slice, and add up to the gradient.
 */
export function assertContributions({ range, sampleCount, contributions }: GradientMessage, isRelay: boolean): void {
  if (contributions === undefined) return;
  if (!isRelay) throw new ProtocolError('a worker that is not a relay reports contributions of others');
  const images = contributions.reduce((sum, contribution) => sum + contribution.images, 0);
  if (contributions.length <= range.count && images === sampleCount) return;
  throw new ProtocolError(
    `a relay reports ${contributions.length} contributions of ${images} images in all to ${describeRange(range)}, which ` +
      `has ${sampleCount}`,
  );
}
