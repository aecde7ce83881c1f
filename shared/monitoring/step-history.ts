// Stores the curves of a run in bounded memory: one point per step at first, then one per 2, 4, 8 steps and so on.
// Pure; used by the coordinator and by dashboard pages.

/**
 * A point on the curves: one step, or the means over several steps, with the number and learning rate of the last step.
 */
export interface StepPoint {
  /** One-based number of the step. */
  step: number;
  loss: number;
  accuracy: number;
  learningRate: number;
  imagesPerSecond: number;
}

/** The whole history as sent to dashboard pages: one column per quantity, all of the same length. */
export interface HistoryColumns {
  /** Number of steps in each point except the last. */
  stepsPerPoint: number;
  /** Number of steps in the last point. */
  lastCount: number;
  step: number[];
  loss: number[];
  accuracy: number[];
  learningRate: number[];
  imagesPerSecond: number[];
}

/** Default maximum number of points: more than a chart has pixels across on most screens; about 40 kB as JSON. */
const defaultCapacity = 1_000;

interface Bucket extends StepPoint {
  count: number;
}

export class StepHistory {
  readonly #capacity: number;
  #stepsPerPoint = 1;
  #buckets: Bucket[] = [];

  /** @param capacity maximum number of points; must be even */
  constructor(capacity = defaultCapacity) {
    this.#capacity = capacity;
  }

  static from(columns: HistoryColumns, capacity = defaultCapacity): StepHistory {
    const history = new StepHistory(capacity);
    history.#stepsPerPoint = columns.stepsPerPoint;
    history.#buckets = columns.step.map((step, index) => ({
      step,
      loss: columns.loss[index],
      accuracy: columns.accuracy[index],
      learningRate: columns.learningRate[index],
      imagesPerSecond: columns.imagesPerSecond[index],
      count: index === columns.step.length - 1 ? columns.lastCount : columns.stepsPerPoint,
    }));
    return history;
  }

  get stepsPerPoint(): number {
    return this.#stepsPerPoint;
  }

  /** Points in step order. The last point may cover fewer steps than the others. */
  get points(): readonly StepPoint[] {
    return this.#buckets;
  }

  add(point: StepPoint): void {
    const last = this.#buckets.at(-1);
    if (last !== undefined && last.count < this.#stepsPerPoint) {
      this.#buckets[this.#buckets.length - 1] = merged(last, { ...point, count: 1 });
      return;
    }
    if (this.#buckets.length === this.#capacity) this.#halve();
    this.#buckets.push({ ...point, count: 1 });
  }

  /**
   * Returns the history as columns.
   * @param digits number of significant digits to keep
   */
  columns(digits = 6): HistoryColumns {
    const column = (key: keyof StepPoint) => this.#buckets.map((bucket) => Number(bucket[key].toPrecision(digits)));
    return {
      stepsPerPoint: this.#stepsPerPoint,
      lastCount: this.#buckets.at(-1)?.count ?? 0,
      step: this.#buckets.map(({ step }) => step),
      loss: column('loss'),
      accuracy: column('accuracy'),
      learningRate: column('learningRate'),
      imagesPerSecond: column('imagesPerSecond'),
    };
  }

  /** Halves the number of points by merging neighbors. Call this only when every bucket is full. */
  #halve(): void {
    const half: Bucket[] = [];
    for (let i = 0; i + 1 < this.#buckets.length; i += 2) half.push(merged(this.#buckets[i], this.#buckets[i + 1]));
    this.#buckets = half;
    this.#stepsPerPoint *= 2;
  }
}

function merged(a: Bucket, b: Bucket): Bucket {
  const count = a.count + b.count;
  const mean = (key: 'loss' | 'accuracy' | 'imagesPerSecond') => (a.count * a[key] + b.count * b[key]) / count;
  return {
    step: b.step,
    loss: mean('loss'),
    accuracy: mean('accuracy'),
    learningRate: b.learningRate,
    imagesPerSecond: mean('imagesPerSecond'),
    count,
  };
}
