// The single event stream of a run. The log, metrics.jsonl, TensorBoard, Prometheus, the timeline, the dashboard and
// library users subscribe to it.
import { EventEmitter } from 'node:events';
import type { NewRunEvent, RunEvent, RunEventOf } from './run-events.js';

/** Arguments of listeners, by event type; `event` listeners receive every event. */
export type RunEventMap = { [Type in RunEvent['type']]: [RunEventOf<Type>] } & { event: [RunEvent] };

export class RunEventBus extends EventEmitter<RunEventMap> {
  #step = 0;

  /** Adds the time and the number of updates made to an event, and emits it, first to `event` listeners. */
  publish(event: NewRunEvent): void {
    if (event.step !== undefined) this.#step = event.step;
    // With these fields, the event has its complete type.
    const stamped: RunEvent = { step: this.#step, time: new Date().toISOString(), ...event };
    // The compiler cannot tell that `type` and the event belong together, so bypass the typed emit().
    const emit = EventEmitter.prototype.emit.bind(this);
    emit('event', stamped);
    emit(stamped.type, stamped);
  }
}
