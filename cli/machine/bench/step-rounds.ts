// A measurement cut into rounds: whole steps, the first of which warm up. Pure: it is told how long each step took.

/** Milliseconds of each part of a step; `step` is the whole. */
export type Phases = Readonly<Record<string, number>> & { readonly step: number };

export interface RoundPlan {
  /** Rounds to measure, at least 1. */
  rounds: number;
  /** A round ends with the step that fills it; the warm-up is as long. */
  roundMs: number;
}

/** An engine's first step compiles, traces or tunes; the second may still. */
const minWarmUpSteps = 2;

export class StepRounds {
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

  /** One figure per finished round, in order. */
  get imagesPerSecond(): readonly number[] {
    return this.#imagesPerSecond;
  }

  get isComplete(): boolean {
    return this.#imagesPerSecond.length === this.#plan.rounds;
  }

  /** Counts a step. @returns whether it was the last of a measured round */
  add(phases: Phases): boolean {
    if (this.isComplete) return false;
    if (this.#isWarm) this.#addPhases(phases);
    const { steps, ms } = this.#round;
    this.#round = { steps: steps + 1, ms: ms + phases.step };
    return this.#isWarm ? this.#endRound() : this.#endWarmUp();
  }

  /** Milliseconds of each phase, the mean over the measured steps. */
  meanPhases(): Record<string, number> {
    return Object.fromEntries([...this.#phaseSums].map(([phase, ms]) => [phase, ms / this.#measuredSteps]));
  }

  #addPhases(phases: Phases): void {
    this.#measuredSteps++;
    for (const [phase, ms] of Object.entries(phases)) {
      this.#phaseSums.set(phase, (this.#phaseSums.get(phase) ?? 0) + ms);
    }
  }

  #endWarmUp(): false {
    if (this.#round.steps < minWarmUpSteps || this.#round.ms < this.#plan.roundMs) return false;
    this.#isWarm = true;
    this.#round = { steps: 0, ms: 0 };
    return false;
  }

  #endRound(): boolean {
    const { steps, ms } = this.#round;
    if (ms < this.#plan.roundMs) return false;
    this.#imagesPerSecond.push((1000 * steps * this.#batchSize) / ms);
    this.#round = { steps: 0, ms: 0 };
    return true;
  }
}
