// Options and result of a measurement, either in this process or of a cluster.
import type { Config } from '../../../shared/config/config.js';
import { graphOf } from '../../../shared/config/network-config.js';
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
import { medianOf } from '../../../shared/median.js';
import type { EngineChoice } from '../../../worker/worker-arguments.js';
import type { ImageShape } from './bench-images.js';
import type { RoundPlan, RoundRecorder } from './round-recorder.js';

export interface BenchOptions extends EngineChoice {
  config: Config;
  imageShape: ImageShape;
  plan: RoundPlan;
  /** Called after each round with its number, starting at 1. */
  onRound: (round: number) => void;
  /** Receives progress and warnings. */
  onMessage: (message: string) => void;
}

export interface Measurement extends EngineIdentity {
  /** Median throughput of the rounds. */
  imagesPerSecond: number;
  roundsImagesPerSecond: readonly number[];
  /** Speeds by which `auto` chose the engine, from fast to slow. Present only if it measured several in this process. */
  engineSpeeds?: readonly { engine: string; imagesPerSecond: number }[];
  threads: number;
  batchSize: number;
  slices: number;
  /** Name of the network. */
  network: string;
  /** Number of worker processes; 0 for a measurement in this process. */
  workers: number;
  /** Mean milliseconds of each phase over the measured steps; `step` is the complete step. */
  phases: Record<string, number>;
  /** Fraction of the step time during which the engine does not compute, from 0 to 1. */
  notComputeShare: number;
  /** Time per phase and group of layers, if it was asked for and the engine can measure it. */
  profile?: readonly LayerTime[];
}

/** Milliseconds per step that an engine spends in one phase of a group of layers. */
export interface LayerTime {
  phase: string;
  group: string;
  ms: number;
  /** Number of dispatches to a GPU per step, for an engine that counts them. */
  dispatches?: number;
  /** Bytes of the arrays that these dispatches bind, per step. */
  bytes?: number;
}

export function measurementOf(
  rounds: RoundRecorder,
  { threads, config }: Pick<BenchOptions, 'threads' | 'config'>,
  { engine, fingerprint, device }: EngineIdentity,
  workers: number,
): Measurement {
  const phases = rounds.meanPhases();
  const { compute = 0, step = 0 } = phases;
  const { batchSize, slices } = config;
  return {
    imagesPerSecond: medianOf(rounds.imagesPerSecond),
    roundsImagesPerSecond: rounds.imagesPerSecond,
    engine,
    fingerprint,
    device,
    threads,
    batchSize,
    slices,
    network: graphOf(config).name,
    workers,
    phases,
    notComputeShare: 1 - compute / step,
  };
}
