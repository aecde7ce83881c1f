// Records how long a partial sum takes: time spans for the timeline, and a total for each phase of the step.
import { machineMs } from '../../shared/clock.js';
import type { TimingMessage } from '../../shared/protocol/messages.js';

export class RangeTimes {
  readonly slices: TimingMessage['slices'] = [];
  readonly additions: TimingMessage['additions'] = [];

  timeAddition(add: () => void): void {
    const startedMs = machineMs();
    add();
    this.additions.push({ startedMs, endedMs: machineMs() });
  }

  get phases(): { augmentMs: number; computeMs: number; reduceMs: number } {
    const phases = { augmentMs: 0, computeMs: 0, reduceMs: 0 };
    for (const { augmentMs, computeMs } of this.slices) {
      phases.augmentMs += augmentMs;
      phases.computeMs += computeMs;
    }
    for (const { startedMs, endedMs } of this.additions) phases.reduceMs += endedMs - startedMs;
    return phases;
  }
}
