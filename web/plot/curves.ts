// The data of the plot page, written by Node and read by the page's script.
import type { Buckets } from '../charts/buckets.js';

export interface Evaluation {
  /** Number of updates made before it. */
  step: number;
  epoch: number;
  loss: number;
  accuracy: number;
}

/** Quantities recorded at each step. */
export const stepQuantities = ['loss', 'accuracy', 'learningRate', 'imagesPerSecond'] as const;
export type StepQuantity = (typeof stepQuantities)[number];

export interface RunCurves {
  /** Unique on the page. */
  name: string;
  /** Network, batch, schedule and seed, for display; empty if the run has no configuration file. */
  settings: string;
  /** Whether the run has finished. */
  isFinished: boolean;
  /** Images in a global batch; null if the run has no configuration file. */
  batchSize: number | null;
  /** Number of updates made. */
  steps: number;
  stepsPerEpoch: number | null;
  /** Number of steps averaged into each point of `perStep`. */
  stepsPerPoint: number;
  perStep: Record<StepQuantity, Buckets>;
  validations: Evaluation[];
  test: Evaluation | null;
  /** Steps of the checkpoints that the run was resumed from. */
  resumedAtSteps: number[];
}

export interface PlotData {
  lockstepVersion: string;
  /** ISO 8601 in UTC. */
  writtenAt: string;
  runs: RunCurves[];
}
