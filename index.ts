// The library: what `import … from 'lockstep'` gives. The command line is a thin shell over it. Its types name those of Node,
// which TypeScript does not look for by itself.
/// <reference types="node" preserve="true" />
export { startCoordinator, type Coordinator, type CoordinatorOptions } from './coordinator/main.js';
export { loadCheckpoint, type Checkpoint } from './coordinator/run/load-checkpoint.js';
export type { Metrics } from './coordinator/run/metrics.js';
export type { Report } from './coordinator/run/report.js';
export type { StepPhases } from './coordinator/run/step-phases.js';
export type { RunEvent, RunEventOf } from './coordinator/run/run-events.js';
export { RunEventBus } from './coordinator/run/run-event-bus.js';
export { resolveConfig, type Config, type ConfigInput } from './shared/config/config.js';
export { evaluate, type EvaluateOptions, type LocalEvaluation } from './inference/evaluate.js';
export type { Evaluation, EvaluationReport } from './coordinator/evaluation-run.js';
export { predict, type Prediction, type PredictOptions, type Predictions } from './inference/predict.js';
export type { RunPhase, RunStatus, WorkerState, WorkerStatus } from './shared/monitoring/run-status.js';
export { loadCifar10, type Cifar10 } from './shared/dataset/cifar10.js';
export { LockstepError, type ErrorCode } from './shared/errors.js';
export { lockstepVersion } from './shared/version.js';
export { train, type TrainOptions, type Training } from './single-node/train.js';
export type { ProcessEvents } from './single-node/worker-processes.js';
export type { Engine, EngineModel, EngineOptions } from './worker/engine.js';
export { startWorker, type Worker, type WorkerEvents, type WorkerOptions, type WorkerSummary } from './worker/main.js';
