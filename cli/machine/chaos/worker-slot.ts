// A worker process behind a link of its own. A killed process is replaced by a new one.
import {
  startWorkerProcess,
  type StartOptions,
  type WorkerPlan,
  type WorkerProcess,
} from '../../../single-node/worker-processes.js';
import type { FaultyLink } from './faulty-link.js';

export class WorkerSlot {
  /** Counted from 0. */
  readonly index: number;
  readonly name: string;
  readonly link: FaultyLink;
  readonly #start: () => WorkerProcess;
  #worker: WorkerProcess;
  /** SIGKILL has been sent to the current process. */
  #isKilled = false;
  #isClosed = false;

  /** @param onExit called when a process exits that was not killed here */
  constructor(
    index: number,
    plan: WorkerPlan,
    link: FaultyLink,
    options: StartOptions,
    onExit: (worker: WorkerProcess) => void,
  ) {
    this.index = index;
    this.name = plan.name;
    this.link = link;
    this.#start = () => {
      const worker = startWorkerProcess(plan, options);
      worker.child.once('close', () => {
        if (this.#isClosed) return;
        if (!this.#isKilled) return onExit(worker);
        this.#isKilled = false;
        this.#worker = this.#start();
      });
      return worker;
    };
    this.#worker = this.#start();
  }

  get isRunning(): boolean {
    return !this.#isKilled && !this.#isClosed;
  }

  kill(): void {
    this.#isKilled = true;
    this.#worker.child.kill('SIGKILL');
  }

  /** @returns what continues the process */
  freeze(): () => void {
    const { child } = this.#worker;
    child.kill('SIGSTOP');
    return () => child.kill('SIGCONT');
  }

  /** Waits until the process exits by itself, or kills it after a timeout. No other process replaces it. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    const { child, exited } = this.#worker;
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    await exited;
    clearTimeout(timer);
    await this.link.close();
  }
}
