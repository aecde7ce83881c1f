// Takes the place of web/tab/start-worker.ts in the test's build of the page. The test plays the worker: it emits events
// and ends it through `globalThis.workers`.

type Listener = (event: unknown) => void;

class ScriptedWorker {
  readonly name = 'tab-1';
  readonly threads = 3;
  readonly done: Promise<{ reason: string; images: number }>;
  readonly url: string;
  readonly options: object;
  /** Calls of the page, in order. */
  readonly calls: string[] = [];
  readonly #listeners = new Map<string, Listener>();
  #end!: { resolve: (summary: { reason: string; images: number }) => void; reject: (error: Error) => void };

  constructor(url: URL, options: object) {
    this.url = String(url);
    this.options = options;
    this.done = new Promise((resolve, reject) => (this.#end = { resolve, reject }));
  }

  on(type: string, listener: Listener): () => void {
    this.#listeners.set(type, listener);
    return () => this.#listeners.delete(type);
  }

  pause(): void {
    this.calls.push('pause');
  }

  resume(): void {
    this.calls.push('resume');
  }

  stop(reason = ''): void {
    this.calls.push(`stop: ${reason}`);
    // Survives the page, because a page that is being closed stops its worker too.
    localStorage.setItem('stopped', reason);
    this.end(reason);
  }

  emit(type: string, event: object): void {
    this.#listeners.get(type)?.(event);
  }

  end(reason: string): void {
    this.#end.resolve({ reason, images: 0 });
  }

  fail(code: string, message: string, refusal: string | null): void {
    this.#end.reject(Object.assign(new Error(message), { code, refusal: refusal ?? undefined }));
  }
}

declare const localStorage: { setItem(key: string, value: string): void };
const workers: ScriptedWorker[] = [];
Object.assign(globalThis, { workers });

export function startWorker(url: URL, options: object): ScriptedWorker {
  const worker = new ScriptedWorker(url, options);
  workers.push(worker);
  return worker;
}
