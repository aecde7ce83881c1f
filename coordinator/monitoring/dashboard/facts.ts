// The facts of a run that a dashboard page is sent once.
import type { Config } from '../../../shared/config/config.js';
import type { RunFacts } from '../../../shared/monitoring/messages.js';
import { layoutModel } from '../../../shared/network/layout.js';
import { lockstepVersion } from '../../../shared/version.js';

/** @param rest the facts that are not in the configuration */
export function factsOf(
  config: Config,
  rest: Pick<RunFacts, 'runId' | 'runDirectory' | 'dataset' | 'totalSteps' | 'stepsPerEpoch'>,
): RunFacts {
  const { depth, batchSize, slices, seed } = config;
  const trainableWeights = layoutModel(config).trainableSize;
  return { lockstepVersion, ...rest, model: `ResNet-${depth}`, trainableWeights, batchSize, slices, seed };
}
