// /metrics: the run as Prometheus reads it. What a status tells is set when somebody asks; only durations, which a
// histogram has to see as they happen, are counted on the way.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RunStatus } from '../../shared/monitoring/run-status.js';
import type { RunEventBus } from '../run/run-event-bus.js';
import { phaseNames, type StepPhases } from '../run/step-phases.js';
import { statusMetrics } from './status-metrics.js';

/** A step takes milliseconds on GPUs and a minute on a small computer: 1 ms to 131 s, doubling. */
const stepBuckets = Array.from({ length: 18 }, (_, power) => 0.001 * 2 ** power);
/** 10 ms to 82 s. */
const checkpointBuckets = Array.from({ length: 14 }, (_, power) => 0.01 * 2 ** power);

const phaseLabels: Record<Exclude<keyof StepPhases, 'step'>, string> = {
  waitForWeights: 'wait_for_weights',
  augment: 'augment',
  compute: 'compute',
  add: 'add',
  send: 'send',
  reduce: 'reduce',
  update: 'update',
};

export class PrometheusMetrics {
  readonly #registry = new Registry();
  readonly #status: () => RunStatus;
  readonly #set: readonly ((status: RunStatus) => void)[];
  #isMeasuringProcess = false;

  constructor(events: RunEventBus, status: () => RunStatus) {
    this.#status = status;
    const registers = [this.#registry];
    this.#set = statusMetrics.map(({ kind, name, help, labels = [], read }) => {
      const options = { name, help, labelNames: [...labels], registers };
      const metric = kind === 'gauge' ? new Gauge(options) : new Counter(options);
      return (now) => {
        const reading = read(now);
        metric.reset();
        // From zero a counter is set by counting all at once.
        for (const [of, value] of typeof reading === 'number' ? [[{}, reading] as const] : reading)
          metric.inc(of, value);
      };
    });
    this.#followDurations(events);
  }

  #followDurations(events: RunEventBus): void {
    const registers = [this.#registry];
    const steps = new Histogram({
      name: 'lockstep_step_duration_seconds',
      help: 'Whole steps, from one update to the next.',
      buckets: stepBuckets,
      registers,
    });
    const phases = new Histogram({
      name: 'lockstep_step_phase_duration_seconds',
      help: "Where a step's time went: the mean of its workers; reduce and update are the coordinator's.",
      labelNames: ['phase'],
      buckets: stepBuckets,
      registers,
    });
    const checkpoints = new Histogram({
      name: 'lockstep_checkpoint_duration_seconds',
      help: 'Saving a checkpoint, until it is on the disk.',
      buckets: checkpointBuckets,
      registers,
    });
    const failures = new Counter({
      name: 'lockstep_checkpoint_failures_total',
      help: 'Checkpoints that could not be saved.',
      registers,
    });
    const ofPhases = phaseNames.flatMap((name) =>
      name === 'step' ? [] : [{ name, histogram: phases.labels({ phase: phaseLabels[name] }) }],
    );
    events.on('step', (event) => {
      steps.observe(event.phases.step / 1000);
      for (const { name, histogram } of ofPhases) histogram.observe(event.phases[name] / 1000);
    });
    events.on('checkpoint', ({ seconds }) => checkpoints.observe(seconds));
    events.on('checkpoint-failed', () => failures.inc());
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics in Prometheus's text format. */
  async text(): Promise<string> {
    if (!this.#isMeasuringProcess) this.#measureProcess();
    const status = this.#status();
    for (const set of this.#set) set(status);
    return this.#registry.metrics();
  }

  /** Not before somebody asks: it looks at the event loop and the garbage collector all the time. */
  #measureProcess(): void {
    this.#isMeasuringProcess = true;
    collectDefaultMetrics({ register: this.#registry });
    // Gauges under names of counters; gauges of the same by kind stand beside them.
    for (const what of ['handles', 'requests', 'resources']) {
      this.#registry.removeSingleMetric(`nodejs_active_${what}_total`);
    }
  }
}
