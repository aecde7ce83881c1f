// The page's state as signals. work.ts changes them; the parts of the page show them.
import { signal } from '@preact/signals';
import type { TabCacheKind } from '../tab/start-worker.js';
import type { JoinFacts } from '../../shared/monitoring/join.js';

export type View =
  /** Asking the coordinator what the link is for. */
  | { phase: 'opening' }
  | { phase: 'unreachable' }
  /** This device cannot join, for this reason. */
  | { phase: 'closed'; reason: string }
  /** `isFull`: as many workers as the link allows are connected. */
  | { phase: 'ready'; isFull: boolean }
  | { phase: 'working' }
  | { phase: 'over'; ending: Ending };

export type Ending =
  /** The coordinator said goodbye, for this reason. */
  | { how: 'ended'; reason: string }
  | { how: 'left' }
  /** `canRetry`: whether joining again may help. */
  | { how: 'failed'; title: string; problem: string; remedy: string; canRetry: boolean };

export type Connection =
  | { phase: 'connecting' }
  | { phase: 'open' }
  /** `retryAtMs` is on the time scale of performance.now(). */
  | { phase: 'lost'; reason: string; attempt: number; retryAtMs: number };

export interface Run {
  network: string;
  batchSize: number;
  totalSteps: number;
  /** Number of steps that have begun, as far as this device knows. */
  steps: number;
}

/** What the device does, apart from its connection. */
export type Activity =
  /** Not told yet which engine to use. */
  | { phase: 'joining' }
  | { phase: 'measuring'; engines: readonly string[] }
  /** The engine is chosen, but no slice has been computed since. */
  | { phase: 'preparing' }
  | { phase: 'computing' };

export const view = signal<View>({ phase: 'opening' });
/** What is being trained; null until the coordinator has said so. */
export const about = signal<JoinFacts | null>(null);
export const connection = signal<Connection>({ phase: 'connecting' });
export const activity = signal<Activity>({ phase: 'joining' });
export const isPaused = signal(false);
export const run = signal<Run | null>(null);
export const engine = signal<{ engine: string; fingerprint: string; device: string } | null>(null);
export const worker = signal<{ name: string; threads: number } | null>(null);
/** What this device has computed, including before a reload. */
export const contribution = signal({ images: 0, slices: 0 });
export const imagesPerSecond = signal<number | undefined>(undefined);
/** Whether the device is connected but has had nothing to compute for a while. */
export const isIdle = signal(false);
/** Where shards are kept between visits; null until the worker has opened its cache. */
export const cacheKind = signal<TabCacheKind | null>(null);
/** Why the shards cannot be kept on this device; null while they can. */
export const cacheProblem = signal<string | null>(null);
/** Time from performance.now(), updated once a second while the device works. */
export const nowMs = signal(performance.now());

/** Returns this device's share of the images of the whole run so far; undefined before the first answer. */
export function shareOfRun(): number | undefined {
  const { images } = contribution.value;
  if (run.value === null || run.value.steps === 0 || images === 0) return undefined;
  // A slice that two workers computed counts for both, so that the sum may exceed the whole.
  return Math.min(1, images / imagesOfRun(run.value));
}

export function imagesOfRun({ steps, batchSize }: Run): number {
  return steps * batchSize;
}
