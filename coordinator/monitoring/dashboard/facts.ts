// What a dashboard page is told once: what does not change during a run.
import type { Config } from '../../../shared/config/config.js';
import type { RunFacts } from '../../../shared/monitoring/messages.js';
import { layoutModel } from '../../../shared/network/layout.js';
import { lockstepVersion } from '../../../shared/version.js';

/** @param identity the run's id, its directory, the source of its images, and its length */
export function factsOf(
  config: Config,
  identity: Pick<RunFacts, 'runId' | 'runDirectory' | 'dataset' | 'totalSteps' | 'stepsPerEpoch'>,
): RunFacts {
  const { depth, batchSize, slices, seed } = config;
  const trainableWeights = layoutModel(config).trainableSize;
  return { lockstepVersion, ...identity, model: `ResNet-${depth}`, trainableWeights, batchSize, slices, seed };
}
