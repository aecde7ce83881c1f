// What a page is told once of a run: what does not change while it goes on.
import type { Config } from '../../../shared/config/config.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { lockstepVersion } from '../../../shared/version.js';
import type { RunFacts } from '../../../shared/monitoring/messages.js';

export function factsOf(of: {
  runId: string;
  run: { totalSteps: number };
  config: Config;
  layout: ModelLayout;
  dataset: { source: string };
  store: { stepsPerEpoch: number };
  runDirectory: { directory: string };
}): RunFacts {
  const { runId, run, config, layout, dataset, store, runDirectory } = of;
  return {
    lockstepVersion,
    runId,
    runDirectory: runDirectory.directory,
    dataset: dataset.source,
    model: `ResNet-${config.depth}`,
    trainableWeights: layout.trainableSize,
    totalSteps: run.totalSteps,
    stepsPerEpoch: store.stepsPerEpoch,
    batchSize: config.batchSize,
    slices: config.slices,
    seed: config.seed,
  };
}
