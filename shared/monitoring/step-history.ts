// The curves of a run in bounded memory: a point for each step at first, and when there are too many of them, one for
// every two, four, eight steps. Pure; the coordinator's feed and the page count alike with it.

/** What the curves tell of a step; of several, their means, and the last one's number and rate. */
export interface StepPoint {
  /** Updates made, counted from 1. */
  step: number;
  loss: number;
  accuracy: number;
  learningRate: number;
  imagesPerSecond: number;
}

/** The whole history as it travels: a column each, as long as each other. */
export interface HistoryColumns {
  /** Steps that every point but the last is the mean of. */
  stepsPerPoint: number;
  /** Steps in the last point. */
  lastCount: number;
  step: number[];
  loss: number[];
  accuracy: number[];
  learningRate: number[];
  imagesPerSecond: number[];
}

/** More than a chart has pixels on most screens; about 40 kB as JSON. */
const defaultCapacity = 1_000;

interface Bucket extends StepPoint {
  count: number;
}

export class StepHistory {
  readonly #capacity: number;
  #stepsPerPoint = 1;
  #buckets: Bucket[] = [];

  /** @param capacity points that are kept at most; even */
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

  /** In the order of steps; the last one may be the mean of fewer steps than the others. */
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

  /** @param digits significant digits that numbers travel with */
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

  /** Only called with every bucket full. */
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
