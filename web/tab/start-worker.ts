// The library `lockstep/browser`: makes the page that calls it a worker.
import { describeBrowser } from '../../shared/worker/describe-browser.js';
import type { WorkerSummary } from '../../shared/worker/events.js';
import type {
  BrowserWorkerEvents,
  PageMessage,
  TabWorkerMessage,
  TabWorkerSettings,
} from '../../shared/worker/tab-messages.js';

export type { EngineIdentity } from '../../shared/protocol/engine-identity.js';
export type { RunJoined, WorkerEvents, WorkerProgress, WorkerSummary } from '../../shared/worker/events.js';
export type { BrowserWorkerEvents, TabCacheKind } from '../../shared/worker/tab-messages.js';

export interface BrowserWorkerOptions {
  /** Token that allows joining. */
  token?: string | undefined;
  /** Name of this worker in the coordinator's output. By default, the browser, its system and a random number. */
  name?: string | undefined;
  /**
   * Number of compute threads. By default, one core is left free. More than one thread needs a page that is cross-origin
   * isolated (`crossOriginIsolated`); on other pages, there is one thread.
   */
  threads?: number | undefined;
  /** Whether to keep shards in the browser's storage between visits; true by default. */
  cache?: boolean | undefined;
  /**
   * URL of the folder of the worker's scripts, with a slash at the end; it may be relative to the page. It must be on the
   * page's own origin. By default, the folder of this script.
   */
  scripts?: string | URL | undefined;
}

/** Error of a worker that was refused, could not reach the coordinator, or failed. */
export class BrowserWorkerError extends Error {
  override readonly name = 'BrowserWorkerError';
  /** The code of the LockstepError: `refused`, `unreachable`, `engine-failed`, … */
  readonly code: string;
  /** If the coordinator refused the worker, why: `token`, `fingerprint`, `protocol-version`, … */
  readonly refusal: string | undefined;

  constructor(code: string, message: string, refusal?: string) {
    super(message);
    this.code = code;
    this.refusal = refusal;
  }
}

export interface BrowserWorker {
  readonly name: string;
  /** Number of compute threads. */
  readonly threads: number;
  /** Resolves after the run has ended or `stop` has been called. Rejects with a BrowserWorkerError. */
  readonly done: Promise<WorkerSummary>;
  /** Calls a listener for each event of a type. @returns a function that removes the listener */
  on<Type extends keyof BrowserWorkerEvents>(
    type: Type,
    listener: (event: BrowserWorkerEvents[Type]) => void,
  ): () => void;
  /** Leaves the run, keeping everything that is needed to rejoin it quickly. The coordinator reassigns the work. */
  pause(): void;
  /** Rejoins the run after a pause. */
  resume(): void;
  /** Leaves the run for good. The coordinator reassigns the work. */
  stop(reason?: string): void;
}

/**
 * Starts a worker that joins a run, and rejoins it whenever the connection is lost. Throws TypeError if the URL is invalid.
 * @param url address of the coordinator: ws://HOST:PORT or wss://HOST:PORT, also as http:// or https://
 */
export function startWorker(url: string | URL, options: BrowserWorkerOptions = {}): BrowserWorker {
  const settings = settingsOf(url, options);
  const { scripts } = options;
  // Bundlers recognize a call with this first argument, and add the script to what they build.
  const thread =
    scripts === undefined
      ? new Worker(new URL('./compute.js', import.meta.url), { type: 'module' })
      : new Worker(new URL('compute.js', new URL(scripts, document.baseURI)), { type: 'module' });
  const post = (message: PageMessage) => thread.postMessage(message);
  const listeners = new EventTarget();

  const done = new Promise<WorkerSummary>((resolve, reject) => {
    thread.addEventListener('message', ({ data }: MessageEvent<TabWorkerMessage>) => {
      if (data.type === 'event') listeners.dispatchEvent(new CustomEvent(data.name, { detail: data.event }));
      else if (data.type === 'finished') resolve(data.summary);
      else reject(new BrowserWorkerError(data.code, data.message, data.refusal));
    });
    thread.addEventListener('error', ({ message, filename, lineno }) => {
      const problem = message || 'it cannot be loaded';
      reject(new BrowserWorkerError('engine-failed', `the worker's script failed: ${problem} (${filename}:${lineno})`));
    });
  });
  const reconnectNow = () => post({ type: 'online' });
  window.addEventListener('online', reconnectNow);
  const end = () => {
    window.removeEventListener('online', reconnectNow);
    thread.terminate();
  };
  done.then(end, end);
  post({ type: 'start', settings });

  return {
    name: settings.name,
    threads: settings.threads,
    done,
    on(type, listener) {
      const handle = (event: Event) => listener((event as CustomEvent<never>).detail);
      listeners.addEventListener(type, handle);
      return () => listeners.removeEventListener(type, handle);
    },
    pause: () => post({ type: 'pause' }),
    resume: () => post({ type: 'resume' }),
    stop: (reason = 'left') => post({ type: 'stop', reason }),
  };
}

function settingsOf(url: string | URL, options: BrowserWorkerOptions): TabWorkerSettings {
  const { token = '', name = defaultName(), cache = true } = options;
  const isolatedThreads = options.threads ?? Math.max(1, navigator.hardwareConcurrency - 1);
  return { url: webSocketUrl(url), token, name, threads: crossOriginIsolated ? isolatedThreads : 1, cache };
}

function webSocketUrl(url: string | URL): string {
  const parsed = new URL(url);
  parsed.protocol = parsed.protocol.replace(/^http/, 'ws');
  if (parsed.protocol !== 'ws:' && parsed.protocol !== 'wss:') {
    throw new TypeError(`\`url\` is ${parsed.href}: it must be ws://HOST:PORT or wss://HOST:PORT`);
  }
  return parsed.href.replace(/\/$/, '');
}

/** Returns the name that this tab had before a reload, or a new one. */
function defaultName(): string {
  const key = 'lockstep-worker-name';
  const random = crypto.getRandomValues(new Uint16Array(1))[0].toString(16).padStart(4, '0');
  const fresh = `${describeBrowser(navigator.userAgent)} ${random}`;
  try {
    const known = sessionStorage.getItem(key) ?? fresh;
    sessionStorage.setItem(key, known);
    return known;
  } catch {
    // The user has turned storage off.
    return fresh;
  }
}
