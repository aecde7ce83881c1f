// Groups the steps of a measurement into rounds, after a warm-up. It has no clock: callers pass the duration of each
// step.

/** Milliseconds spent in each phase of a step; `step` is the complete step. */
export type Phases = Readonly<Record<string, number>> & { readonly step: number };

export interface RoundPlan {
  /** Number of rounds, at least 1. */
  rounds: number;
  /** Minimum duration of each round and of the warm-up. */
  roundMs: number;
}

/** Engines compile, trace or tune in the first step, and some of them also in the second. */
const minWarmUpSteps = 2;

export class RoundRecorder {
  readonly #plan: RoundPlan;
  readonly #batchSize: number;
  readonly #imagesPerSecond: number[] = [];
  readonly #phaseSums = new Map<string, number>();
  #measuredSteps = 0;
  #isWarm = false;
  #round = { steps: 0, ms: 0 };

  constructor(plan: RoundPlan, batchSize: number) {
    this.#plan = plan;
    this.#batchSize = batchSize;
  }

  /** Throughput of each finished round. */
  get imagesPerSecond(): readonly number[] {
    return this.#imagesPerSecond;
  }

  get isComplete(): boolean {
    return this.#imagesPerSecond.length === this.#plan.rounds;
  }

  /** Adds a step. @returns true if the step completed a round; the warm-up does not count */
  add(phases: Phases): boolean {
    if (this.isComplete) return false;
    if (this.#isWarm) this.#addPhases(phases);
    const steps = this.#round.steps + 1;
    const ms = this.#round.ms + phases.step;
    this.#round = { steps, ms };
    if (ms < this.#plan.roundMs || (!this.#isWarm && steps < minWarmUpSteps)) return false;
    this.#round = { steps: 0, ms: 0 };
    const wasWarm = this.#isWarm;
    this.#isWarm = true;
    if (wasWarm) this.#imagesPerSecond.push((1000 * steps * this.#batchSize) / ms);
    return wasWarm;
  }

  /** Mean milliseconds of each phase over the measured steps. */
  meanPhases(): Record<string, number> {
    return Object.fromEntries([...this.#phaseSums].map(([phase, ms]) => [phase, ms / this.#measuredSteps]));
  }

  #addPhases(phases: Phases): void {
    this.#measuredSteps++;
    for (const [phase, ms] of Object.entries(phases)) {
      this.#phaseSums.set(phase, (this.#phaseSums.get(phase) ?? 0) + ms);
    }
  }
}
