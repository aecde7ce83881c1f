// How fast this device computes, from the times of its answers. Pure.

/** Answers older than this do not count, but the latest `minAnswers` always do. */
const windowMs = 15_000;
const minAnswers = 4;
/** Time without an answer after which a device that is connected is considered a spare. */
const minIdleMs = 30_000;

export class Throughput {
  #answers: { timeMs: number; images: number }[] = [];
  /** Time since which the device could have computed: the later of the latest answer and the latest (re)start. */
  #sinceMs: number;
  #longestMs = 0;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** Forgets the past answers, because the device joins or resumes now. */
  restart(nowMs: number): void {
    this.#answers = [];
    this.#sinceMs = nowMs;
  }

  add(nowMs: number, images: number): void {
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#sinceMs);
    this.#sinceMs = nowMs;
    this.#answers.push({ timeMs: nowMs, images });
    const firstKept = this.#answers.findIndex(({ timeMs }) => timeMs >= nowMs - windowMs);
    this.#answers = this.#answers.slice(Math.min(firstKept, Math.max(0, this.#answers.length - minAnswers)));
  }

  /** Returns the images per second of the latest answers; undefined if there are too few of them. */
  imagesPerSecond(nowMs: number): number | undefined {
    if (this.#answers.length < 2 || this.isIdle(nowMs)) return undefined;
    const [first, ...later] = this.#answers;
    const images = later.reduce((sum, answer) => sum + answer.images, 0);
    const elapsedMs = later.at(-1)!.timeMs - first.timeMs;
    return elapsedMs > 0 ? (1000 * images) / elapsedMs : undefined;
  }

  /** Whether the latest answer is so long ago that the device most likely has nothing to compute. */
  isIdle(nowMs: number): boolean {
    return nowMs - this.#sinceMs > Math.max(minIdleMs, 3 * this.#longestMs);
  }
}
