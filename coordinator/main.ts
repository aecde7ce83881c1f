// Puts a coordinator together: configuration, images, port, pool and training loop. The library's startCoordinator.
import type { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { systemClock, type Clock } from '../shared/clock.js';
import type { Config, ConfigInput } from '../shared/config.js';
import { resolveDataset, type Cifar10 } from '../shared/data/cifar10.js';
import { measuredArraysOf } from '../shared/data/measured-preprocessing.js';
import { LockstepError, messageOf, ProtocolError } from '../shared/errors.js';
import { layoutHash, littleEndianBytes } from '../shared/model/layout-hash.js';
import { layoutModel } from '../shared/model/layout.js';
import { largestWorkerMessageBytes, type Welcome, type WorkerMessage } from '../shared/protocol/messages.js';
import { lockstepVersion } from '../shared/version.js';
import { cutPieces } from './pieces.js';
import type { Report } from './report.js';
import { demandSameFuture, planRun, type ResumeOptions } from './resume.js';
import { defaultRunDirectory, RunDirectory } from './run-directory.js';
import { isLoopback } from './http-access.js';
import type { RunEvents } from './run-events.js';
import { startServer, type Applicant, type Refusal } from './server.js';
import { TensorBoardLog } from './tensorboard/tensorboard-log.js';
import { TokenFile } from './token-file.js';
import { TokenTable } from './tokens.js';
import { TrainingRun } from './training-run.js';
import { WorkerConnection } from './worker-connection.js';
import { WorkerPool } from './worker-pool.js';

export const defaultPort = 7350;

/** Leaves time to save and say goodbye within the 30 s that Kubernetes gives. */
const defaultStopGraceMs = 10_000;

export interface CoordinatorOptions extends ConfigInput, ResumeOptions {
  /** Where to listen: 127.0.0.1 unless said. Any other than a loopback address needs a token. */
  host?: string | undefined;
  /** 7350 unless said; 0 for any free port. */
  port?: number | undefined;
  /** An owner's token: who shows it may join, read and operate the run. */
  token?: string | undefined;
  /** A file of tokens with a name and a role each, instead of `token`; read again when it changes. See tokens.ts. */
  tokenFile?: string | undefined;
  /** Workers to wait for before the first step; 1 unless said. */
  minWorkers?: number | undefined;
  /** Workers to wait for before each other step; 1 unless said. */
  pauseBelow?: number | undefined;
  /** Ends a run that has waited for workers so long, with a checkpoint (`no-workers`); never unless said. */
  waitTimeoutMs?: number | undefined;
  /** A stopped run gives up a step that does not end, and saves the one before; 10,000 unless said. */
  stopGraceMs?: number | undefined;
  /** The images themselves, instead of the folder `data`. */
  dataset?: Cifar10 | undefined;
  clock?: Clock | undefined;
}

export interface Coordinator {
  /** What a worker on this machine connects to. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly config: Config;
  /** The run's folder. */
  readonly runDirectory: string;
  /** Which images, in plain words. */
  readonly dataset: string;
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  readonly events: EventEmitter<RunEvents>;
  /** Settles when the run has ended, its workers are told and the port is free. Rejects with `interrupted` after stop. */
  readonly report: Promise<Report>;
  /** Ends the run after the running step, with a checkpoint. */
  stop(reason?: LockstepError): void;
}

/**
 * Starts a coordinator and resolves once it listens; training begins when enough workers have come.
 * Throws LockstepError for a bad configuration, bad data, a port in use, or an address that needs a token.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const {
    host = '127.0.0.1',
    port = defaultPort,
    token,
    tokenFile,
    minWorkers = 1,
    pauseBelow = 1,
    waitTimeoutMs,
    stopGraceMs = defaultStopGraceMs,
    resume,
    override = false,
    dataset: givenDataset,
    clock = systemClock,
    ...input
  } = options;
  const planned = await planRun(input, { resume, override });
  const { config, checkpoint } = planned;
  const tokenSource = tokenFile === undefined ? undefined : new TokenFile(tokenFile);
  const ownersTable = token === undefined || token === '' ? TokenTable.none : TokenTable.ofOwner(token);
  const tokens = () => tokenSource?.table ?? ownersTable;
  if (!isLoopback(host) && tokens().isEmpty) {
    throw new LockstepError(
      'bad-option',
      `host is ${host}, which others can reach: give a token that workers must show (LOCKSTEP_TOKEN or --token-file)`,
    );
  }
  const layout = layoutModel(config);
  const dataset = givenDataset ?? (await resolveDataset(config.data ?? undefined));
  const store = cutPieces(dataset, config);
  const resumed = checkpoint && {
    checkpoint,
    isOverridden: !(await demandSameFuture({ ...planned, checkpoint }, { layout, store, override })),
  };
  const pool = new WorkerPool();
  const abort = new AbortController();
  const runId = randomUUID();
  const hash = layoutHash(layout);
  const silence = { pingIntervalMs: 1000 * config.pingInterval, silenceTimeoutMs: 1000 * config.silenceTimeout };
  const runDirectory = new RunDirectory(config.runDir ?? defaultRunDirectory(new Date()));
  const run = new TrainingRun({
    config,
    layout,
    store,
    pool,
    runDirectory,
    resumed,
    minWorkers,
    pauseBelow,
    waitTimeoutMs,
    clock,
    signal: abort.signal,
    stop,
  });
  let isEnded = false;
  let nextWorkerId = 1;

  let stopGrace: () => void = () => undefined;
  /** Workers are sent away from a step that does not end in time, which ends it for want of workers. */
  function stop(reason = new LockstepError('interrupted', 'the run was interrupted')): void {
    if (abort.signal.aborted || isEnded) return;
    stopGrace = clock.after(stopGraceMs, () => {
      for (const worker of pool.workers) void worker.farewell(reason.message);
    });
    abort.abort(reason);
  }

  function admit({ socket, transport, hello, address }: Applicant): Refusal | undefined {
    // Workers that come before the run begins to count them are in the pool.
    const first = run.journal.ledger.firstFingerprint ?? pool.workers[0]?.engine.fingerprint;
    if (config.exact && first !== undefined && first !== hello.engine.fingerprint) {
      return {
        code: 'fingerprint',
        message:
          `the run is --exact and computes with ${first}, this worker with ${hello.engine.fingerprint}: ` +
          'use the same engine, version and settings, or start the run without --exact',
      };
    }
    const worker: WorkerConnection = new WorkerConnection(
      socket,
      transport,
      {
        id: nextWorkerId++,
        name: hello.name,
        address,
        engine: hello.engine,
        cachedPieces: hello.cachedPieces,
        pieceRecords: store.records,
        ...silence,
        clock,
      },
      {
        onMessage: (message, payload) => receive(worker, message, payload),
        onClosed: (reason) => pool.remove(worker, reason),
      },
    );
    const welcome: Welcome = {
      type: 'welcome',
      workerId: worker.id,
      runId,
      model: {
        depth: config.depth,
        initialFilters: config.initialFilters,
        shortcut: config.shortcut,
        convBias: config.convBias,
        bnEpsilon: config.bnEpsilon,
      },
      layoutHash: hash,
      preprocessing: config.preprocessing,
      seed: config.seed,
      augment: config.augment,
      augmentValidation: config.augmentValidation,
      labelSmoothing: config.labelSmoothing,
      sliceCount: config.slices,
      batchSize: config.batchSize,
      stepsPerEpoch: store.stepsPerEpoch,
      pieces: [...store.pieces],
      ...silence,
    };
    worker.send(welcome, ...measuredArraysOf(store.preprocessing).map(({ values }) => littleEndianBytes(values)));
    pool.add(worker);
    return undefined;
  }

  function receive(worker: WorkerConnection, message: WorkerMessage, payload: Uint8Array): void {
    switch (message.type) {
      case 'gradient':
        return pool.gradientFrom(worker, message, payload);
      case 'evaluation':
        return pool.evaluationFrom(worker, message);
      case 'piece-held':
        return pool.pieceHeldBy(worker);
      case 'failure':
        return worker.dismiss('engine-failed', `engine failed: ${message.message}`);
      case 'hello':
        throw new ProtocolError('a worker said hello twice');
      case 'piece-request':
      case 'leave':
        throw new ProtocolError(`${message.type} is the connection's own business`);
      default:
        message satisfies never;
    }
  }

  const server = await startServer({
    host,
    port,
    tokens,
    maxMessageBytes: largestWorkerMessageBytes(layout, config.slices),
    clock,
    admit: (applicant) =>
      isEnded || abort.signal.aborted ? { code: 'finished', message: 'the run has ended' } : admit(applicant),
    status: () => ({
      lockstepVersion,
      runId,
      step: run.step,
      steps: run.totalSteps,
      epoch: run.epoch,
      workers: pool.workers.map((worker) => ({
        name: worker.name,
        address: worker.address,
        engine: worker.engine,
        imagesPerSecond: worker.speed.imagesPerSecond,
        shards: store.pieces.filter(({ split, sha256 }) => split === 'training' && worker.holds(sha256)).length,
      })),
    }),
  });
  try {
    // Now that the port is this run's: another one that goes on in the same folder has it.
    await runDirectory.open(config, checkpoint);
  } catch (error) {
    await server.close();
    throw error;
  }
  const stopWatchingTokens = tokenSource?.watch(clock, (message) => run.journal.door(message));

  function openTensorBoard(): TensorBoardLog {
    const log = TensorBoardLog.open(path.join(runDirectory.directory, 'tensorboard'), {
      layout,
      preprocessing: store.preprocessing,
      stepsMade: run.step,
      onTrouble: (reason) => run.journal.tensorBoardFailed(reason),
    });
    log.follow(run.journal);
    return log;
  }

  async function trainAndClose(): Promise<Report> {
    let goodbye = 'the run has ended';
    let tensorBoard: TensorBoardLog | undefined;
    // Whoever called startCoordinator gets to listen before the first event.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      if (config.tensorboard) tensorBoard = openTensorBoard();
      return await run.train();
    } catch (error) {
      goodbye = messageOf(error);
      throw error;
    } finally {
      isEnded = true;
      stopGrace();
      stopWatchingTokens?.();
      await Promise.all(pool.workers.map((worker) => worker.farewell(goodbye)));
      await server.close();
      await tensorBoard?.close();
      await runDirectory.close();
    }
  }
  const report = trainAndClose();
  // Whoever holds `report` sees its rejection; without a holder it must not end the process.
  report.catch(() => undefined);

  return {
    url: `ws://${isLoopback(host) ? host.replace('::1', '[::1]') : '127.0.0.1'}:${server.port}`,
    host,
    port: server.port,
    config,
    runDirectory: runDirectory.directory,
    dataset: dataset.source,
    totalSteps: run.totalSteps,
    stepsPerEpoch: store.stepsPerEpoch,
    events: run.journal,
    report,
    stop,
  };
}
