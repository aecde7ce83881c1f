// Synchronizes the threads of a model through control words at the beginning of their shared memory. Uses only Atomics,
// so it also runs in browsers.
import { LockstepError } from '../../../shared/errors.js';
import { controlBytes } from './memory/tensor.js';

export type JobKind = 'weights' | 'train' | 'evaluate' | 'stop';
const jobKinds = ['weights', 'train', 'evaluate', 'stop'] as const satisfies readonly JobKind[];

export interface Job {
  kind: JobKind;
  /** Number of images. */
  count: number;
  /** Maximum number of images in the current memory plan. */
  capacity: number;
}

// Indices of the control words.
const jobNumber = 0;
const jobKind = 1;
const jobCount = 2;
const jobCapacity = 3;
const arrived = 16; // each frequently written word has its own cache line
const barrierNumber = 32;
const failed = 48;

/** Number of times that a thread checks a word before it sleeps. All checks together take about 50 microseconds. */
const spins = 10_000;
const sleepMs = 1000;

export class ThreadTeam {
  readonly threads: number;
  readonly #words: Int32Array;

  constructor(memory: WebAssembly.Memory, threads: number) {
    this.threads = threads;
    this.#words = new Int32Array(memory.buffer, 0, controlBytes / 4);
  }

  /** Announces a job to the other threads. Called by the first thread. */
  announce(job: Job): void {
    if (this.threads === 1) return;
    this.#words[jobKind] = jobKinds.indexOf(job.kind);
    this.#words[jobCount] = job.count;
    this.#words[jobCapacity] = job.capacity;
    Atomics.add(this.#words, jobNumber, 1);
    Atomics.notify(this.#words, jobNumber);
  }

  /** Waits for the job that follows job number `last`. Called by all threads except the first. */
  nextJob(last: number): Job & { number: number } {
    this.#waitWhile(jobNumber, last);
    return {
      number: Atomics.load(this.#words, jobNumber),
      kind: jobKinds[this.#words[jobKind]],
      count: this.#words[jobCount],
      capacity: this.#words[jobCapacity],
    };
  }

  /** Barrier: returns when all threads have called it. */
  meet(): void {
    if (this.threads === 1) return;
    const number = Atomics.load(this.#words, barrierNumber);
    if (Atomics.add(this.#words, arrived, 1) === this.threads - 1) {
      Atomics.store(this.#words, arrived, 0);
      Atomics.add(this.#words, barrierNumber, 1);
      Atomics.notify(this.#words, barrierNumber);
    } else {
      this.#waitWhile(barrierNumber, number);
    }
  }

  /** Reports that this thread has failed, so that the other threads stop waiting for it. */
  fail(): void {
    Atomics.store(this.#words, failed, 1);
  }

  /**
   * Waits until the word differs from `value`. Rechecks the word after each wake-up, because a wake-up can be late: a
   * thread that is preempted between changing the word and notifying wakes threads that wait for the next change.
   */
  #waitWhile(word: number, value: number): void {
    for (let spin = 0; spin < spins; spin++) {
      if (Atomics.load(this.#words, word) !== value) return;
    }
    while (Atomics.load(this.#words, word) === value) {
      if (Atomics.wait(this.#words, word, value, sleepMs) === 'timed-out' && Atomics.load(this.#words, failed) !== 0) {
        throw new LockstepError('engine-failed', 'a thread of the wasm engine has failed');
      }
    }
  }
}
