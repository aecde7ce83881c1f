// The library's public API: what `import … from 'lockstep'` provides. Every type used in a public declaration is
// exported too, which test/package.test.ts enforces. The declarations use Node.js types, which TypeScript does not load
// automatically.
/// <reference types="node" preserve="true" />

// Train on this machine
export { train, type LocalWorkerOptions, type TrainOptions, type Training } from './single-node/train.js';
export type { ProcessEvents } from './single-node/worker-processes.js';

// Train on several machines: a coordinator and its workers
export { startCoordinator, type Coordinator, type CoordinatorOptions } from './coordinator/main.js';
export type { JoinLinkOptions } from './coordinator/connections/join/open-join-links.js';
export type { JoinLinkView } from './shared/monitoring/join.js';
export type { AccessOptions } from './coordinator/connections/access-policy.js';
export type { ServerTlsFiles } from './coordinator/connections/server-tls.js';
export type { TimelineOptions, TimelineWindow } from './coordinator/monitoring/timeline/timeline-window.js';
export type { ResumeOptions } from './coordinator/run/resume.js';
export { startWorker, type Worker, type WorkerOptions } from './worker/main.js';
export type { RunJoined, WorkerEvents, WorkerProgress, WorkerSummary } from './shared/worker/events.js';
export type { ClientTlsFiles } from './shared/protocol/client-tls.js';
export type { Clock } from './shared/clock.js';

// A run's configuration, events, status and report
export { resolveConfig, type Config, type ConfigInput, type ConfigKey } from './shared/config/config.js';
export { RunEventBus, type RunEventMap } from './coordinator/run/run-event-bus.js';
export type {
  ClockSample,
  NewRunEvent,
  OperatorAction,
  RunEnd,
  RunEvent,
  RunEventOf,
  WorkerRef,
} from './coordinator/run/run-events.js';
export { metricsLineOf, type MetricsLine } from './coordinator/run/metrics-lines.js';
export type { Report, TestMetrics } from './coordinator/run/report.js';
export type { TotalsRecord } from './coordinator/run/run-totals.js';
export type { StepPhases, WorkerContribution, WorkerPhases } from './coordinator/run/step-phases.js';
export type { BatchSums, Metrics } from './coordinator/run/metrics.js';
export type { WorkerSummary as WorkerTotals } from './shared/monitoring/messages.js';
export type { RunPhase, RunStatus, WorkerStatus } from './shared/monitoring/run-status.js';
export type { WorkerState } from './shared/monitoring/worker-states.js';

// Trained models: checkpoints, evaluation and prediction
export { loadCheckpoint, type Checkpoint } from './coordinator/run/checkpoints/load-checkpoint.js';
export type { BestValidation, RunProgress, SavedState } from './coordinator/run/checkpoints/checkpoint.js';
export type { PublishedState } from './coordinator/encoding/published-weights.js';
export { evaluate, type EvaluateOptions, type LocalEvaluation } from './inference/evaluate.js';
export type { Evaluation, EvaluationOptions, EvaluationReport } from './coordinator/evaluation-run.js';
export type { ClassResult, Confusion, Outcome as EvaluationOutcome } from './coordinator/run/evaluation-report.js';
export type { EvaluationSplit } from './coordinator/dataset/shard-store.js';
export type { Split } from './shared/protocol/messages.js';
export { predict, type Prediction, type PredictOptions, type Predictions } from './inference/predict.js';

// Networks from Keras and TensorFlow.js
export { importNetwork, type ImportedNetwork } from './inference/import/import-network.js';
export { saveNetwork, type SaveNetworkOptions } from './inference/import/save-network.js';
export type { ChannelOrder, GraphNode, Initializer, NetworkGraph, PaddingMode, Pair } from './shared/network/graph.js';
export type { WeightName, WeightSettings } from './shared/network/graph.js';
export type {
  ActivationNode,
  AddNode,
  BatchNormNode,
  ConcatNode,
  Conv2dNode,
  DenseNode,
  DropoutNode,
  FlattenNode,
  GlobalPoolNode,
  MultiplyNode,
  NodeBase,
  PadNode,
  PoolNode,
  ReshapeNode,
  ScaleNode,
} from './shared/network/graph.js';

// Images
export { readDataset } from './datasets/read-dataset.js';
export type { DatasetHandlers, ImportOptions, ReadOptions } from './datasets/read-options.js';
export { loadCifar10, type Cifar10 } from './shared/dataset/cifar10.js';
export type { Dataset, DatasetDescription, ImageFit, LabelKind } from './shared/dataset/description.js';
export type { RecordFormat } from './shared/dataset/record-format.js';
export type { TestTimeAugmentation } from './shared/dataset/test-time-augmentation.js';
export { synthesizeDataset } from './shared/dataset/synthesize.js';

// Engines, which compute gradients for a worker. fillInput and labelsOf convert a batch to the input and labels of a
// network.
export type { BatchResult, EvaluationResult, SliceResult } from './worker/engine.js';
export type { Engine, EngineModel, EngineOptions, EngineSettings, Precision } from './worker/engine.js';
export { openEngine, openEngines } from './worker/engines/registry.js';
export type { EngineName } from './shared/engine-names.js';
export { fillInput, labelsOf } from './worker/augmentation.js';
export type { EngineCandidate, EngineCount, EngineIdentity } from './shared/protocol/engine-identity.js';
export type {
  ImageBatch,
  MeasuredPreprocessing,
  Preprocessing,
  PreprocessingName,
} from './shared/dataset/image-batch.js';
export type { SliceRange } from './shared/reduction/slices.js';
export type { WorkReason } from './shared/monitoring/step-view.js';
export type { PartialSumTiming } from './shared/protocol/message-fields.js';
export type { DropoutKey } from './shared/network/dropout.js';
export type { DataShape, ModelLayout } from './shared/network/layout.js';
export type {
  ActivationLayer,
  AddLayer,
  ArrayLayout,
  BatchNormLayer,
  ConcatLayer,
  Conv2dLayer,
  DenseLayer,
  DropoutLayer,
  FlattenLayer,
  GlobalPoolLayer,
  InputLayer,
  Layer,
  LayerBase,
  MultiplyLayer,
  Padding,
  PadLayer,
  PlainLayer,
  PoolLayer,
  ReshapeLayer,
  ScaleLayer,
  Shape,
  WeightArray,
} from './shared/network/layers.js';
export type { Shortcut } from './shared/network/networks/resnet.js';

export { LockstepError, type ErrorCode } from './shared/errors.js';
export { lockstepVersion } from './shared/version.js';
