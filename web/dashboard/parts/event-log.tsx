// The event log, newest first.
import { events } from '../store.js';
import { wholeNumber } from '../../common/numbers.js';
import { eventDetail, eventTitle, moment } from '../wording.js';

export function EventLog() {
  const lines = events.value;
  return (
    <section class="card log" aria-labelledby="events-title">
      <h2 id="events-title">Events</h2>
      {/* Focusable, so that the keyboard can scroll it. */}
      <div class="scroll" tabIndex={0} role="log" aria-labelledby="events-title" aria-relevant="additions">
        {lines.length === 0 ? (
          <p class="empty">No events yet. Joining and lost workers, reassigned slices and checkpoints appear here.</p>
        ) : (
          <ol>
            {lines.map((line) => {
              const { title, tone } = eventTitle(line);
              return (
                <li key={line.key} class={tone}>
                  <time dateTime={line.time}>{moment(line.time)}</time>
                  <p>
                    <strong>{title}</strong> <span class="muted">after step {wholeNumber(line.step)}</span>
                    <span class="detail">{eventDetail(line)}</span>
                  </p>
                </li>
              );
            })}
          </ol>
        )}
      </div>
    </section>
  );
}
