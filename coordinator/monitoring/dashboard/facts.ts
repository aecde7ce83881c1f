// Facts about a run, sent to each dashboard page once.
import type { Config } from '../../../shared/config/config.js';
import type { RunFacts } from '../../../shared/monitoring/messages.js';
import { lockstepVersion } from '../../../shared/version.js';

/** @param rest facts that are not part of the configuration */
export function factsOf(
  config: Config,
  rest: Pick<
    RunFacts,
    'runId' | 'runDirectory' | 'model' | 'dataset' | 'trainableWeights' | 'totalSteps' | 'stepsPerEpoch'
  >,
): RunFacts {
  const { batchSize, slices, seed } = config;
  return { lockstepVersion, ...rest, batchSize, slices, seed };
}
