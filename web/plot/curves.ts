// What a page of curves is made of: plain data, written by Node and read by the page's script.
import type { Buckets } from '../charts/buckets.js';

export interface Evaluation {
  /** Updates made until then. */
  step: number;
  epoch: number;
  loss: number;
  accuracy: number;
}

/** Quantities that a run has for each step. */
export const stepQuantities = ['loss', 'accuracy', 'learningRate', 'imagesPerSecond'] as const;
export type StepQuantity = (typeof stepQuantities)[number];

export interface RunCurves {
  /** Of no other run in the page. */
  name: string;
  /** In words: the network, the batch, the schedule; empty where the run's configuration is not there. */
  settings: string;
  /** Whether the run came to its end. */
  isFinished: boolean;
  /** Images in a global batch, where the configuration says so. */
  batchSize: number | null;
  /** Updates made. */
  steps: number;
  stepsPerEpoch: number | null;
  /** How many steps each point of `perStep` is the mean of. */
  stepsPerPoint: number;
  perStep: Record<StepQuantity, Buckets>;
  validations: Evaluation[];
  test: Evaluation | null;
  /** Steps of the checkpoints from which it was resumed. */
  resumedAtSteps: number[];
}

export interface PlotData {
  lockstepVersion: string;
  /** ISO 8601 in UTC. */
  writtenAt: string;
  runs: RunCurves[];
}
