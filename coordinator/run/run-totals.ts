// Totals of a run, computed from its events, for the report and for checkpoints. Pure.
import { z } from 'zod';
import type { EngineCount } from '../../shared/protocol/engine-identity.js';
import { compareFingerprints } from '../../shared/protocol/engines/probed-fingerprint.js';
import type { WorkerSummary } from '../../shared/monitoring/messages.js';
import { lockstepVersion } from '../../shared/version.js';
import type { Report } from './report.js';
import type { RunEvent } from './run-events.js';
import { phaseNames, zeroPhases, type StepPhases, type WorkerContribution } from './step-phases.js';

const count = z.int().nonnegative();

/** The totals that checkpoints store. */
export const totalsRecord = z.object({
  workersJoined: count,
  workersLost: count,
  slicesReassigned: count,
  stragglers: count,
  slicesDuplicated: count,
  clippedValues: count.default(0),
  /** The run's fingerprint; null until it has been chosen. */
  fingerprint: z.string().nullable().default(null),
  engines: z.array(z.object({ engine: z.string(), fingerprint: z.string(), workers: z.int().positive() })),
  resumedAtSteps: z.array(count),
  /** Whether the run was resumed with a different configuration or different images. */
  isOverridden: z.boolean(),
});
export type TotalsRecord = z.infer<typeof totalsRecord>;

export class RunTotals {
  readonly #record: TotalsRecord;
  readonly #workers = new Map<string, WorkerSummary>();
  readonly #phaseSums = zeroPhases();
  #stepCount = 0;
  #bytesSent = 0;
  #bytesReceived = 0;

  /**
   * @param fingerprint the run's fingerprint; null until it has been chosen
   * @param resumed totals of the checkpoint that the run resumes from
   */
  constructor(fingerprint: string | null, resumed?: { step: number; record: TotalsRecord; isOverridden: boolean }) {
    this.#record = {
      workersJoined: 0,
      workersLost: 0,
      slicesReassigned: 0,
      stragglers: 0,
      slicesDuplicated: 0,
      clippedValues: 0,
      engines: [],
      resumedAtSteps: [],
      isOverridden: false,
      ...structuredClone(resumed?.record),
      fingerprint,
    };
    if (resumed === undefined) return;
    this.#record.resumedAtSteps.push(resumed.step);
    this.#record.isOverridden ||= resumed.isOverridden;
  }

  apply(event: RunEvent): void {
    switch (event.type) {
      case 'worker-joined':
        this.#record.workersJoined++;
        break;
      case 'engine-chosen':
        this.#record.fingerprint = event.fingerprint;
        break;
      case 'engine-assigned':
        this.#countEngine(event);
        break;
      case 'worker-lost':
        this.#record.workersLost++;
        this.#bytesSent += event.bytesSent;
        this.#bytesReceived += event.bytesReceived;
        break;
      case 'relay-lost':
        this.#bytesSent += event.bytesSent;
        this.#bytesReceived += event.bytesReceived;
        break;
      case 'slices-reassigned':
        this.#record.slicesReassigned += event.slices;
        break;
      case 'straggler':
        this.#record.stragglers++;
        this.#record.slicesDuplicated += event.slices;
        break;
      case 'step':
        for (const contribution of event.contributions) this.#countContribution(contribution);
        for (const name of phaseNames) this.#phaseSums[name] += event.phases[name];
        this.#record.clippedValues += event.clippedValues ?? 0;
        this.#stepCount++;
        break;
      default:
    }
  }

  /** The totals that checkpoints store. */
  get record(): Readonly<TotalsRecord> {
    return this.#record;
  }

  get exact(): boolean {
    return this.#matches(['exact']);
  }

  get exactAsProbed(): boolean {
    return this.#matches(['exact', 'as-probed']);
  }

  /** Total bytes sent to and received from workers that have left. */
  get bytes(): { sent: number; received: number } {
    return { sent: this.#bytesSent, received: this.#bytesReceived };
  }

  /** Total duration of the steps since this coordinator started. */
  get trainingMs(): number {
    return this.#phaseSums.step;
  }

  /** Returns the number of images whose gradients were used, over all workers with this name. */
  imagesOf(name: string): number {
    return this.#workers.get(name)?.images ?? 0;
  }

  /**
   * @param rest fields that are not totals
   * @param imagesTrainedHere number of images trained on since this coordinator started
   * @param bytes bytes sent to and received from the workers that are still connected
   */
  report(
    rest: Omit<
      Report,
      | keyof TotalsRecord
      | 'lockstepVersion'
      | 'imagesPerSecond'
      | 'exact'
      | 'exactAsProbed'
      | 'workers'
      | 'bytesSent'
      | 'bytesReceived'
      | 'phases'
    >,
    imagesTrainedHere: number,
    bytes: { sent: number; received: number },
  ): Report {
    const { isOverridden: _, ...totals } = this.#record;
    return {
      lockstepVersion,
      ...rest,
      imagesPerSecond: this.trainingMs > 0 ? (1000 * imagesTrainedHere) / this.trainingMs : 0,
      exact: this.exact,
      exactAsProbed: this.exactAsProbed,
      ...totals,
      workers: [...this.#workers.values()],
      bytesSent: this.#bytesSent + bytes.sent,
      bytesReceived: this.#bytesReceived + bytes.received,
      phases: this.#meanPhases(),
    };
  }

  /** Whether all engines match the run's fingerprint in one of these ways, and the run was never overridden. */
  #matches(ways: readonly ReturnType<typeof compareFingerprints>[]): boolean {
    const { engines, fingerprint: expected, isOverridden } = this.#record;
    const matches = ({ fingerprint }: EngineCount) =>
      expected !== null && ways.includes(compareFingerprints(fingerprint, expected));
    return engines.every(matches) && !isOverridden;
  }

  #countEngine({ engine, fingerprint }: Omit<EngineCount, 'workers'>): void {
    const { engines } = this.#record;
    const known = engines.find((other) => other.fingerprint === fingerprint);
    if (known === undefined) engines.push({ engine, fingerprint, workers: 1 });
    else known.workers++;
  }

  #countContribution({ name, images, phases, waitedForMs }: WorkerContribution): void {
    const sum = this.#workers.get(name) ?? {
      name,
      images: 0,
      busySeconds: 0,
      waitSeconds: 0,
      timesWaitedFor: 0,
      secondsWaitedFor: 0,
    };
    sum.images += images;
    sum.busySeconds += (phases.augmentMs + phases.computeMs + phases.reduceMs + phases.sendMs) / 1000;
    sum.waitSeconds += phases.waitMs / 1000;
    if (waitedForMs > 0) sum.timesWaitedFor++;
    sum.secondsWaitedFor += waitedForMs / 1000;
    this.#workers.set(name, sum);
  }

  #meanPhases(): StepPhases {
    const mean = zeroPhases();
    for (const name of phaseNames) mean[name] = this.#phaseSums[name] / Math.max(1, this.#stepCount);
    return mean;
  }
}
