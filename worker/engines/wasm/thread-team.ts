// How the threads of one model work in step: control words at the beginning of their shared memory. Uses Atomics alone,
// so it runs wherever they do.
import { LockstepError } from '../../../shared/errors.js';
import { controlBytes } from './memory-plan.js';

export type JobKind = 'weights' | 'train' | 'evaluate' | 'stop';
const jobKinds = ['weights', 'train', 'evaluate', 'stop'] as const satisfies readonly JobKind[];

export interface Job {
  kind: JobKind;
  /** Images. */
  count: number;
  /** Images that the memory plan has room for. */
  capacity: number;
}

// the control words' places
const jobNumber = 0;
const jobKind = 1;
const jobCount = 2;
const jobCapacity = 3;
const arrived = 16; // words that are written often have cache lines of their own
const barrierNumber = 32;
const failed = 48;

/** A thread looks so often for the others before it sleeps: about 50 microseconds. */
const spins = 10_000;
const sleepMs = 1000;

export class ThreadTeam {
  readonly threads: number;
  readonly #words: Int32Array;

  constructor(memory: WebAssembly.Memory, threads: number) {
    this.threads = threads;
    this.#words = new Int32Array(memory.buffer, 0, controlBytes / 4);
  }

  /** For the first thread: hands a job to the others. */
  announce(job: Job): void {
    if (this.threads === 1) return;
    this.#words[jobKind] = jobKinds.indexOf(job.kind);
    this.#words[jobCount] = job.count;
    this.#words[jobCapacity] = job.capacity;
    Atomics.add(this.#words, jobNumber, 1);
    Atomics.notify(this.#words, jobNumber);
  }

  /** For the other threads: the job after the one numbered `last`. */
  nextJob(last: number): Job & { number: number } {
    this.#waitWhile(jobNumber, last);
    return {
      number: Atomics.load(this.#words, jobNumber),
      kind: jobKinds[this.#words[jobKind]],
      count: this.#words[jobCount],
      capacity: this.#words[jobCapacity],
    };
  }

  /** Returns when all threads have called it. */
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

  /** Tells the others that this thread is gone: they stop waiting for it. */
  fail(): void {
    Atomics.store(this.#words, failed, 1);
  }

  /**
   * Being woken says nothing by itself: a thread that was preempted between its change of the word and its notify wakes
   * those that wait for the change after that one. So the word is looked at anew.
   */
  #waitWhile(word: number, value: number): void {
    for (let spin = 0; spin < spins; spin++) {
      if (Atomics.load(this.#words, word) !== value) return;
    }
    while (Atomics.load(this.#words, word) === value) {
      if (Atomics.wait(this.#words, word, value, sleepMs) === 'timed-out' && Atomics.load(this.#words, failed) !== 0) {
        throw new LockstepError('engine-failed', 'a thread of the wasm engine failed');
      }
    }
  }
}
