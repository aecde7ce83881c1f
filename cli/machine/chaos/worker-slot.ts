// A place for one worker process behind a link of its own. A process that was killed is followed by another one.
import type { WorkerPlan, WorkerProcess, StartOptions } from '../../../single-node/worker-processes.js';
import { startWorkerProcess } from '../../../single-node/worker-processes.js';
import type { FaultyLink } from './faulty-link.js';

export interface SlotOptions {
  /** Counted from 0. */
  index: number;
  plan: WorkerPlan;
  link: FaultyLink;
  start: StartOptions;
  /** Called when a process ends that was not killed here. */
  onEnded: (worker: WorkerProcess) => void;
}

export class WorkerSlot {
  readonly index: number;
  readonly name: string;
  readonly link: FaultyLink;
  readonly #options: SlotOptions;
  #worker: WorkerProcess;
  /** SIGKILL has been sent to the process that is here. */
  #isKilled = false;
  #isClosed = false;

  constructor(options: SlotOptions) {
    this.index = options.index;
    this.name = options.plan.name;
    this.link = options.link;
    this.#options = options;
    this.#worker = this.#start();
  }

  get isRunning(): boolean {
    return !this.#isKilled && !this.#isClosed;
  }

  kill(): void {
    this.#isKilled = true;
    this.#worker.child.kill('SIGKILL');
  }

  /** @returns what lets the process go on */
  freeze(): () => void {
    const { child } = this.#worker;
    child.kill('SIGSTOP');
    return () => child.kill('SIGCONT');
  }

  /** No process follows; the one that is here has so many milliseconds to end by itself. */
  async close(patienceMs: number): Promise<void> {
    this.#isClosed = true;
    const { child, exited } = this.#worker;
    const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
    await exited;
    clearTimeout(timer);
    await this.link.close();
  }

  #start(): WorkerProcess {
    const worker = startWorkerProcess(this.#options.plan, this.#options.start);
    void this.#watch(worker);
    return worker;
  }

  async #watch(worker: WorkerProcess): Promise<void> {
    await worker.exited;
    if (this.#isClosed) return;
    if (!this.#isKilled) return this.#options.onEnded(worker);
    this.#isKilled = false;
    this.#worker = this.#start();
  }
}
