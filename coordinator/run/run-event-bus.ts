// The one stream of events out of a run. The log, metrics.jsonl, TensorBoard, Prometheus, the timeline, the dashboard and
// library users subscribe to it.
import { EventEmitter } from 'node:events';
import type { NewRunEvent, RunEvent, RunEventOf } from './run-events.js';

/** Listeners by type of event; `event` listeners receive every event. */
export type RunEventMap = { [Type in RunEvent['type']]: [RunEventOf<Type>] } & { event: [RunEvent] };

export class RunEventBus extends EventEmitter<RunEventMap> {
  #step = 0;

  /** Stamps an event with the time and the number of updates made, and emits it: first to `event` listeners. */
  publish(event: NewRunEvent): void {
    if (event.step !== undefined) this.#step = event.step;
    // The stamp completes the type that the event was published as.
    const stamped: RunEvent = { step: this.#step, time: new Date().toISOString(), ...event };
    // The compiler does not see that a type and its event belong together.
    const emit = EventEmitter.prototype.emit.bind(this);
    emit('event', stamped);
    emit(stamped.type, stamped);
  }
}
