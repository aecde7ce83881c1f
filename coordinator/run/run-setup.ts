// The fixed setup of a run: its configuration, network and images.
import type { Config } from '../../shared/config/config.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import type { ShardStore } from '../dataset/shard-store.js';

export interface RunSetup {
  config: Config;
  layout: ModelLayout;
  store: ShardStore;
}
