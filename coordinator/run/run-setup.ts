// What a run trains and on what: fixed before the first step.
import type { Config } from '../../shared/config/config.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import type { ShardStore } from '../dataset/shard-store.js';

export interface RunSetup {
  config: Config;
  layout: ModelLayout;
  store: ShardStore;
}
