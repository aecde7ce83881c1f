// Serves /metrics for Prometheus. Most values come from a status snapshot at each scrape. Only durations and checkpoint
// failures are collected from events during the run; a histogram must observe every duration.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RunStatus } from '../../shared/monitoring/run-status.js';
import type { RunEventBus } from '../run/run-event-bus.js';
import { phaseNames, type StepPhases } from '../run/step-phases.js';
import { statusMetrics } from './status-metrics.js';

/**
 * Upper bounds of the buckets in seconds: 0.001 to 131, each twice the previous one. A step takes milliseconds on GPUs
 * and up to a minute on a small computer.
 */
const stepBuckets = Array.from({ length: 18 }, (_, power) => 0.001 * 2 ** power);
/** Upper bounds of the buckets in seconds: 0.01 to 82, each twice the previous one. */
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
    this.#set = statusMetrics.map(({ kind, name, help, labels, read }) => {
      const options = { name, help, labelNames: [...labels], registers };
      const metric = kind === 'gauge' ? new Gauge(options) : new Counter(options);
      return (now) => {
        const reading = read(now);
        metric.reset();
        // A counter cannot be set, but it can be reset and then increased from zero.
        for (const [values, value] of typeof reading === 'number' ? [[{}, reading] as const] : reading) {
          metric.inc(values, value);
        }
      };
    });
    this.#observeDurations(events);
  }

  #observeDurations(events: RunEventBus): void {
    const registers = [this.#registry];
    const steps = new Histogram({
      name: 'lockstep_step_duration_seconds',
      help: 'Duration of a step, from its start to the end of its update, in seconds.',
      buckets: stepBuckets,
      registers,
    });
    const phases = new Histogram({
      name: 'lockstep_step_phase_duration_seconds',
      help: 'Duration of each phase of a step in seconds: the mean over the workers, or the coordinator for reduce and update.',
      labelNames: ['phase'],
      buckets: stepBuckets,
      registers,
    });
    const checkpoints = new Histogram({
      name: 'lockstep_checkpoint_duration_seconds',
      help: 'Time to save a checkpoint to disk, in seconds.',
      buckets: checkpointBuckets,
      registers,
    });
    const failures = new Counter({
      name: 'lockstep_checkpoint_failures_total',
      help: 'Number of checkpoints that could not be saved.',
      registers,
    });
    const phaseHistograms = phaseNames.flatMap((name) =>
      name === 'step' ? [] : [{ name, histogram: phases.labels({ phase: phaseLabels[name] }) }],
    );
    events.on('step', (event) => {
      steps.observe(event.phases.step / 1000);
      for (const { name, histogram } of phaseHistograms) histogram.observe(event.phases[name] / 1000);
    });
    events.on('checkpoint', ({ seconds }) => checkpoints.observe(seconds));
    events.on('checkpoint-failed', () => failures.inc());
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Returns all metrics in Prometheus's text format. */
  async text(): Promise<string> {
    if (!this.#isMeasuringProcess) this.#measureProcess();
    const status = this.#status();
    for (const set of this.#set) set(status);
    return this.#registry.metrics();
  }

  /**
   * Starts measuring the process. Deferred until the first scrape, so that a coordinator that is never scraped does not
   * pay for monitoring its event loop and garbage collector.
   */
  #measureProcess(): void {
    this.#isMeasuringProcess = true;
    collectDefaultMetrics({ register: this.#registry });
    // These gauges are named like counters, and repeat the totals of nodejs_active_handles, nodejs_active_requests and
    // nodejs_active_resources.
    for (const what of ['handles', 'requests', 'resources']) {
      this.#registry.removeSingleMetric(`nodejs_active_${what}_total`);
    }
  }
}
