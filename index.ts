// The library: what `import … from 'lockstep'` gives. The command line is a thin shell over it. Its types name those of Node,
// which TypeScript does not look for by itself.
/// <reference types="node" preserve="true" />
export { startCoordinator, type Coordinator, type CoordinatorOptions } from './coordinator/main.js';
export { loadCheckpoint, type Checkpoint } from './coordinator/load-checkpoint.js';
export type { Metrics } from './coordinator/metrics.js';
export type { Report, StepPhases } from './coordinator/report.js';
export type { EvaluationEvent, RunEvents, StepEvent } from './coordinator/run-events.js';
export { resolveConfig, type Config, type ConfigInput } from './shared/config.js';
export { evaluate, type EvaluateOptions, type LocalEvaluation } from './local-evaluation.js';
export type { Evaluation, EvaluationReport } from './coordinator/evaluation-run.js';
export { predict, type Prediction, type PredictOptions, type Predictions } from './prediction.js';
export type { RunPhase, RunStatus, WorkerState, WorkerStatus } from './shared/run-status.js';
export { loadCifar10, type Cifar10 } from './shared/data/cifar10.js';
export { LockstepError, type ErrorCode } from './shared/errors.js';
export { lockstepVersion } from './shared/version.js';
export { train, type TrainOptions, type Training } from './single-node.js';
export type { ProcessEvents } from './worker-processes.js';
export type { Engine, EngineModel, EngineOptions } from './worker/engine.js';
export { startWorker, type Worker, type WorkerEvents, type WorkerOptions, type WorkerSummary } from './worker/main.js';
