// Runs this device's worker: starts it, follows its events, and remembers across reloads that it was working.
import { batch, effect } from '@preact/signals';
import { startWorker, type BrowserWorker, type BrowserWorkerError } from '../tab/start-worker.js';
import type { JoinAbout, JoinFacts } from '../../shared/monitoring/join.js';
import { closedReasons, describeFailure, describeMissingEngine } from './endings.js';
import { keepScreenOn, preventFreezing } from './keep-awake.js';
import { askAbout, coordinatorUrl, linkId, token } from './link.js';
import { forget, recall, remember, type Memory } from './memory.js';
import * as state from './state.js';
import { Throughput } from './throughput.js';

const tickMs = 1_000;
/** Reason that the coordinator is told, and shows in its log. */
const leaveReason = 'its user left';
const closeReason = 'its page was closed';

let current: BrowserWorker | undefined;
let throughput = new Throughput(0);
/** Set when the page is being closed or reloaded, which is not the end of the work. */
let isClosing = false;
/** Set when the user has asked to leave. */
let isLeaving = false;

/** Opens the link: continues if this tab was working for it before a reload; otherwise, asks what it is for. */
export async function open(): Promise<void> {
  if (linkId === undefined) {
    state.view.value = { phase: 'closed', reason: closedReasons.incomplete };
    return;
  }
  const memory = recall(linkId);
  if (memory !== undefined) start(linkId, memory);
  try {
    const answer = await askAbout(linkId);
    batch(() => {
      if (isUsable(answer)) state.about.value = answer;
      // If the tab continued its work and the link cannot be used anymore, the worker is refused, and says so.
      if (state.view.value.phase === 'opening') state.view.value = viewOf(answer);
    });
  } catch {
    if (state.view.value.phase === 'opening') state.view.value = { phase: 'unreachable' };
  }
}

/** Whether the link can be used, now or when a worker leaves. */
function isUsable(answer: JoinAbout): answer is Extract<JoinAbout, JoinFacts> {
  return answer.problem === null || answer.problem === 'full';
}

function viewOf(answer: JoinAbout): state.View {
  if (!isUsable(answer)) return { phase: 'closed', reason: closedReasons[answer.problem] };
  const { engine, problem } = answer;
  const missing = describeMissingEngine(engine, 'gpu' in navigator);
  if (missing !== undefined) return { phase: 'closed', reason: missing };
  return { phase: 'ready', isFull: problem === 'full' };
}

/** Joins the run, as the user asked. */
export function join(): void {
  if (linkId !== undefined) start(linkId);
}

export function pauseOrContinue(): void {
  if (current === undefined) return;
  const isPaused = !state.isPaused.value;
  if (isPaused) current.pause();
  else current.resume();
  batch(() => {
    state.isPaused.value = isPaused;
    // A paused worker leaves the run, and rejoins it later.
    state.connection.value = { phase: 'connecting' };
  });
}

export function leave(): void {
  isLeaving = true;
  current?.stop(leaveReason);
}

/** Tells the coordinator that the page is being closed, so that it does not wait for this worker. */
export function close(): void {
  isClosing = true;
  current?.stop(closeReason);
}

function start(link: string, memory?: Memory): void {
  const { images = 0, slices = 0, isPaused = false } = memory ?? {};
  throughput = new Throughput(performance.now());
  isLeaving = false;
  const worker = startWorker(coordinatorUrl, { token });
  current = worker;
  batch(() => {
    state.view.value = { phase: 'working' };
    state.worker.value = { name: worker.name, threads: worker.threads };
    state.connection.value = { phase: 'connecting' };
    state.activity.value = { phase: 'joining' };
    state.contribution.value = { images, slices };
    state.cacheKind.value = null;
    state.cacheProblem.value = null;
    state.isPaused.value = isPaused;
  });
  if (isPaused) worker.pause();
  follow(worker);
  const stopKeeping = keepWorking(link, worker.name);
  const end = (ending: state.Ending): void => {
    stopKeeping();
    if (isClosing) return;
    forget();
    state.view.value = { phase: 'over', ending };
  };
  worker.done.then(
    ({ reason }) => end(isLeaving ? { how: 'left' } : { how: 'ended', reason }),
    (error: BrowserWorkerError) => end(describeFailure(error)),
  );
}

/** Shows the worker's events. */
function follow(worker: BrowserWorker): void {
  worker.on('joined', ({ network, batchSize, totalSteps }) => {
    throughput.restart(performance.now());
    batch(() => {
      state.connection.value = { phase: 'open' };
      state.activity.value = { phase: 'joining' };
      state.run.value = {
        network,
        batchSize,
        totalSteps,
        steps: state.run.value?.steps ?? state.about.value?.step ?? 0,
      };
    });
  });
  worker.on('measuring', ({ engines }) => (state.activity.value = { phase: 'measuring', engines }));
  worker.on('engine', (identity) => {
    throughput.restart(performance.now());
    batch(() => {
      state.engine.value = identity;
      state.activity.value = { phase: 'preparing' };
      state.isIdle.value = false;
    });
  });
  worker.on('progress', ({ step, images, slices }) => {
    throughput.add(performance.now(), images);
    batch(() => {
      const { value: run } = state.run;
      // Steps count from 0.
      if (run !== null) state.run.value = { ...run, steps: Math.max(run.steps, step + 1) };
      const sum = state.contribution.value;
      state.contribution.value = { images: sum.images + images, slices: sum.slices + slices };
      state.activity.value = { phase: 'computing' };
    });
  });
  worker.on('reconnecting', ({ reason, attempt, delayMs }) => {
    const nowMs = performance.now();
    batch(() => {
      state.nowMs.value = nowMs;
      state.connection.value = { phase: 'lost', reason, attempt, retryAtMs: nowMs + delayMs };
    });
  });
  worker.on('cacheOpened', ({ kind }) => (state.cacheKind.value = kind));
  worker.on('cacheFailed', ({ message }) => (state.cacheProblem.value = message));
}

/**
 * While the worker works: keeps the page awake, updates the values that change with time, and remembers the work.
 * @returns a function that ends all that
 */
function keepWorking(link: string, name: string): () => void {
  const tick = (): void => {
    const nowMs = performance.now();
    batch(() => {
      state.nowMs.value = nowMs;
      state.imagesPerSecond.value = throughput.imagesPerSecond(nowMs);
      state.isIdle.value = state.engine.value !== null && throughput.isIdle(nowMs);
    });
  };
  tick();
  const timer = setInterval(tick, tickMs);
  const allowFreezing = preventFreezing(`lockstep-join-${name}`);
  const stopRemembering = effect(() => {
    remember({ link, isPaused: state.isPaused.value, ...state.contribution.value });
  });
  const stopKeepingScreenOn = effect(() => (state.isPaused.value ? undefined : keepScreenOn()));
  return () => {
    clearInterval(timer);
    allowFreezing();
    stopRemembering();
    stopKeepingScreenOn();
  };
}
