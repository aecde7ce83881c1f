// What a session needs to know of a run or an evaluation to serve its workers.
import { workerConfigOf, type Config, type WorkerConfig } from '../shared/config/config.js';
import { measuredArraysOf } from '../shared/dataset/measured-preprocessing.js';
import type { Records } from '../shared/dataset/records.js';
import { encodeGraph } from '../shared/network/graph-json.js';
import { layoutHash, littleEndianBytes } from '../shared/network/layout-hash.js';
import type { ModelLayout } from '../shared/network/layout.js';
import type { Welcome } from '../shared/protocol/messages.js';
import type { RelayRules } from '../shared/protocol/relay-messages.js';
import type { ShardStore } from './dataset/shard-store.js';
import type { RunEngineSettings } from './engine/run-engine.js';

/** The parts of a run or an evaluation that a session needs to serve its workers. */
export interface SessionSetup {
  config: WorkerConfig;
  layout: ModelLayout;
  /** Records of each shard, by the shard's SHA-256. */
  records: ReadonlyMap<string, Records>;
  engine: RunEngineSettings;
  /** The welcome without the fields that differ between workers. */
  welcome: Omit<Welcome, 'workerId' | 'runId' | 'relay'>;
  /** Payload of the welcome. */
  welcomePayload: readonly Uint8Array[];
  /** What relays need to know besides the engine; undefined if relays are refused. */
  relays: Pick<RelayRules, 'stragglerFactor' | 'replicas'> | undefined;
}

/** Returns the setup of a run or an evaluation. */
export function sessionSetupOf({
  config,
  layout,
  store,
}: {
  config: Config;
  layout: ModelLayout;
  store: Pick<ShardStore, 'shards' | 'records' | 'preprocessing' | 'stepsPerEpoch' | 'dataset'>;
}): SessionSetup {
  const { preprocessing, dataset, stepsPerEpoch, shards, records } = store;
  const graph = encodeGraph(layout.graph);
  const measured = measuredArraysOf(preprocessing, dataset).map(({ values }) => littleEndianBytes(values));
  const workerConfig = workerConfigOf(config);
  return {
    config: workerConfig,
    layout,
    records,
    engine: config,
    welcome: {
      type: 'welcome',
      networkBytes: graph.length,
      layoutHash: layoutHash(layout),
      config: workerConfig,
      dataset,
      stepsPerEpoch,
      shards: [...shards],
    },
    welcomePayload: [...measured, graph],
    relays: config,
  };
}
