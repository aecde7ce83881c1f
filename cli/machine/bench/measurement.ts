// What a measurement is asked for and what it gives, be it taken in this process or over a cluster.
import type { Config } from '../../../shared/config/config.js';
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
import { medianOf } from '../../../shared/median.js';
import type { EngineChoice } from '../../../worker/worker-arguments.js';
import type { RoundPlan, StepRounds } from './step-rounds.js';

/** What each worker, or this process, computes with, and what. */
export interface BenchOptions extends EngineChoice {
  config: Config;
  plan: RoundPlan;
  /** Told after each round, for people who wait. */
  onRound: (round: number) => void;
}

export interface Measurement extends EngineIdentity {
  /** The median round's. */
  imagesPerSecond: number;
  roundsImagesPerSecond: readonly number[];
  /** In words, which engine `auto` took and why; known for this process alone. */
  engineChoice?: string;
  threads: number;
  batchSize: number;
  slices: number;
  depth: number;
  /** Worker processes; 0 for a measurement in this process. */
  workers: number;
  /** Milliseconds, the mean over the measured steps; `step` is the whole. */
  phases: Record<string, number>;
  /** The part of a step that is not the engine's computing, 0 to 1. */
  notComputeShare: number;
  /** Where the engine tells: milliseconds a step of each kind of work in each group of layers. */
  profile?: readonly LayerTime[];
}

/** One cell of an engine's profile. */
export interface LayerTime {
  phase: string;
  group: string;
  ms: number;
}

export function measurementOf(
  rounds: StepRounds,
  { threads, config }: Pick<BenchOptions, 'threads' | 'config'>,
  { engine, fingerprint, device }: EngineIdentity,
  workers: number,
): Measurement {
  const phases = rounds.meanPhases();
  const { compute = 0, step = 0 } = phases;
  const { batchSize, slices, depth } = config;
  return {
    imagesPerSecond: medianOf(rounds.imagesPerSecond),
    roundsImagesPerSecond: rounds.imagesPerSecond,
    engine,
    fingerprint,
    device,
    threads,
    batchSize,
    slices,
    depth,
    workers,
    phases,
    notComputeShare: 1 - compute / step,
  };
}
