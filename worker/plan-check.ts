// Whether a welcome's run can be computed at all. What each of its fields may be, the parser has looked at; here is what
// they must be to each other, before anything is made room for. Pure.
import { recordBytes } from '../shared/dataset/image-batch.js';
import { ProtocolError } from '../shared/errors.js';
import type { ModelLayout } from '../shared/network/layout.js';
import { maxCoordinatorMessageBytes, type Welcome } from '../shared/protocol/messages.js';
import { maxMessageBytes } from './connection/coordinator-link.js';

/** All shards are kept in memory: not more than this of them. CIFAR-10 has 184 MB. */
const maxShardsBytes = 4 * 1024 ** 3;

/** Throws ProtocolError for a run that no honest coordinator announces. */
export function assertSoundPlan({ shards, config: { batchSize, slices } }: Welcome, layout: ModelLayout): void {
  const bytes = maxCoordinatorMessageBytes(layout);
  if (bytes > maxMessageBytes) {
    throw new ProtocolError(
      `the welcome has a model of ${layout.trainableSize} weights (depth ${layout.spec.depth}, initialFilters ` +
        `${layout.spec.initialFilters}): more than a message of ${maxMessageBytes} bytes holds`,
    );
  }
  if (batchSize % slices !== 0) {
    throw new ProtocolError(`the welcome has a batchSize of ${batchSize}, which ${slices} slices do not divide`);
  }
  const odd = shards.find((shard) => shard.bytes % recordBytes !== 0);
  if (odd !== undefined) {
    throw new ProtocolError(
      `the welcome has ${odd.split} shard ${odd.index} of ${odd.bytes} bytes: images have ${recordBytes} each`,
    );
  }
  const shardsBytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  if (shardsBytes > maxShardsBytes) {
    throw new ProtocolError(
      `the welcome has shards of ${shardsBytes} bytes: more than ${maxShardsBytes} are not taken`,
    );
  }
}
