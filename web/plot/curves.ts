// The data of the plot page, written by Node and read by the page's script.
import type { Buckets } from '../charts/buckets.js';

export interface Evaluation {
  /** Number of optimizer updates made before this evaluation. */
  step: number;
  epoch: number;
  loss: number;
  accuracy: number;
}

/** Quantities recorded at each step. */
export const stepQuantities = ['loss', 'accuracy', 'learningRate', 'imagesPerSecond'] as const;
export type StepQuantity = (typeof stepQuantities)[number];

export interface RunCurves {
  /** Name of the run, unique on the page. */
  name: string;
  /** Network, batch, schedule and seed, for display; empty if the run has no configuration file. */
  settings: string;
  /** Whether the run has finished. */
  isFinished: boolean;
  /** Number of images in a global batch; null if the run has no configuration file. */
  batchSize: number | null;
  /** Number of optimizer updates made. */
  steps: number;
  stepsPerEpoch: number | null;
  /** Number of steps averaged into each point of `perStep`. */
  stepsPerPoint: number;
  perStep: Record<StepQuantity, Buckets>;
  validations: Evaluation[];
  test: Evaluation | null;
  /** Steps of the checkpoints from which the run was resumed. */
  resumedAtSteps: number[];
}

export interface PlotData {
  lockstepVersion: string;
  /** Time at which the page was written, in ISO 8601 format and UTC. */
  writtenAt: string;
  runs: RunCurves[];
}
