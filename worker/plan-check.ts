// Whether a welcome's run can be computed at all. What each of its fields may be, the parser has looked at; here is what
// they must be to each other, before anything is made room for. Pure.
import { recordBytes } from '../shared/dataset/image-batch.js';
import { ProtocolError } from '../shared/errors.js';
import type { ModelLayout } from '../shared/network/layout.js';
import { largestCoordinatorMessageBytes, type Welcome } from '../shared/protocol/messages.js';
import { largestMessageBytes } from './connection/coordinator-link.js';

/** All pieces are kept in memory: not more than this of them. CIFAR-10 has 184 MB. */
const mostPiecesBytes = 4 * 1024 ** 3;

/** Throws ProtocolError for a run that no honest coordinator announces. */
export function demandSoundPlan({ pieces, batchSize, sliceCount }: Welcome, layout: ModelLayout): void {
  const bytes = largestCoordinatorMessageBytes(layout);
  if (bytes > largestMessageBytes) {
    throw new ProtocolError(
      `the welcome has a model of ${layout.trainableSize} weights (depth ${layout.spec.depth}, initialFilters ` +
        `${layout.spec.initialFilters}): more than a message of ${largestMessageBytes} bytes holds`,
    );
  }
  if (batchSize % sliceCount !== 0) {
    throw new ProtocolError(`the welcome has a batchSize of ${batchSize}, which ${sliceCount} slices do not divide`);
  }
  const odd = pieces.find((piece) => piece.bytes % recordBytes !== 0);
  if (odd !== undefined) {
    throw new ProtocolError(
      `the welcome has ${odd.split} piece ${odd.index} of ${odd.bytes} bytes: images have ${recordBytes} each`,
    );
  }
  const piecesBytes = pieces.reduce((sum, piece) => sum + piece.bytes, 0);
  if (piecesBytes > mostPiecesBytes) {
    throw new ProtocolError(
      `the welcome has pieces of ${piecesBytes} bytes: more than ${mostPiecesBytes} are not taken`,
    );
  }
}
