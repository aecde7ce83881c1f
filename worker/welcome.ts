// Reads a welcome. The parser has validated each field on its own; this file checks that the fields are consistent with
// each other, before memory is allocated for them. Pure.
import { measuredSizeOf, preprocessingFromValues } from '../shared/dataset/measured-preprocessing.js';
import type { DatasetDescription } from '../shared/dataset/description.js';
import { recordFormatOf } from '../shared/dataset/record-format.js';
import { messageOf, ProtocolError } from '../shared/errors.js';
import { layoutHash } from '../shared/network/layout-hash.js';
import { decodeGraph } from '../shared/network/graph-json.js';
import { layoutNetwork, type ModelLayout } from '../shared/network/layout.js';
import { floatsOf } from '../shared/protocol/frame.js';
import { maxShardsBytes, shardsBytesOf, type Welcome } from '../shared/protocol/messages.js';
import type { ModelSpec } from './device-models.js';

/**
 * Returns the run's layout and preprocessing. Throws ProtocolError if the welcome is inconsistent or exceeds this
 * worker's limits, or if the coordinator uses a different layout for the same model.
 */
export function readWelcome(welcome: Welcome, payload: Uint8Array): ModelSpec {
  const { config, dataset, shards, networkBytes } = welcome;
  const { recordBytes } = recordFormatOf(dataset);
  const measuredBytes = 4 * measuredSizeOf(config.preprocessing, dataset);
  if (payload.length !== measuredBytes + networkBytes) {
    throw new ProtocolError(
      `expected a payload of ${measuredBytes + networkBytes} bytes in the welcome message, received ${payload.length}`,
    );
  }
  const layout = layoutOf(payload.subarray(measuredBytes), dataset);
  const check = (isPossible: boolean, problem: string) => {
    if (!isPossible) throw new ProtocolError(`the coordinator's welcome message specifies ${problem}`);
  };
  check(
    config.batchSize % config.slices === 0,
    `a \`batchSize\` of ${config.batchSize}, which is not divisible by ${config.slices} slices`,
  );
  for (const { split, index, bytes } of shards) {
    const problem = `${bytes} bytes for ${split} shard ${index}, which is not a multiple of the record size of ${recordBytes} bytes`;
    check(bytes % recordBytes === 0, problem);
  }
  const shardsBytes = shardsBytesOf(shards);
  check(shardsBytes <= maxShardsBytes, `${shardsBytes} bytes of shards, more than the limit of ${maxShardsBytes}`);
  if (layoutHash(layout) !== welcome.layoutHash) {
    throw new ProtocolError(
      'the coordinator uses a different layout for the same model: run the same version of Lockstep on both sides',
    );
  }
  const measured = floatsOf(payload.subarray(0, measuredBytes), measuredBytes / 4);
  const { labelSmoothing } = config;
  return { layout, preprocessing: preprocessingFromValues(config.preprocessing, measured, dataset), labelSmoothing };
}

function layoutOf(graph: Uint8Array, dataset: DatasetDescription): ModelLayout {
  try {
    return layoutNetwork(decodeGraph(graph, 'the graph'), recordFormatOf(dataset));
  } catch (cause) {
    throw new ProtocolError(`the coordinator's welcome message has an invalid network: ${messageOf(cause)}`, { cause });
  }
}
