// A worker process that connects through a separate link. A killed process is replaced by a new one.
import {
  startWorkerProcess,
  type StartOptions,
  type WorkerPlan,
  type WorkerProcess,
} from '../../../single-node/worker-processes.js';
import type { FaultyLink } from './faulty-link.js';

export class WorkerSlot {
  /** Zero-based index of the worker. */
  readonly index: number;
  readonly name: string;
  readonly link: FaultyLink;
  readonly #start: () => WorkerProcess;
  #worker: WorkerProcess;
  /** True if SIGKILL has been sent to the current process. */
  #isKilled = false;
  #isClosed = false;

  /** @param onExit called when a process exits that `kill` did not kill */
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

  /** Suspends the process. @returns a function that resumes it */
  freeze(): () => void {
    const { child } = this.#worker;
    child.kill('SIGSTOP');
    return () => child.kill('SIGCONT');
  }

  /** Waits for the process to exit, and kills it after a timeout. It is not replaced. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    const { child, exited } = this.#worker;
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    await exited;
    clearTimeout(timer);
    await this.link.close();
  }
}
