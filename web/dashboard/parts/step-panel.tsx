// Which slice is where in the running step: a lane for each worker, time to the right. Stragglers are long, takeovers begin
// late in another lane, spares have an empty one. The latest step with trouble stays, for who looked away.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { StepView } from '../../../shared/monitoring/step-view.js';
import { live, type SeenLive } from '../store.js';
import { describeStep, describeTrouble, lanesOf, troubledLanes, type Lane, type LaneBar } from '../step-lanes.js';
import { duration, wholeNumber } from '../wording.js';

/** The bars of a running step grow so often. */
const growEveryMs = 200;
/** With more workers, of a step with trouble only those are shown that had it. */
const maxQuietLanes = 8;
/** More lanes than these are thin. */
const maxThickLanes = 16;

export function StepPanel() {
  const state = live.value;
  return (
    <section class="card step" aria-labelledby="step-title">
      <h2 id="step-title">
        Running step {state?.step && <span class="count">{wholeNumber(state.step.step)}</span>}
      </h2>
      {state?.step ? (
        <>
          <RunningStep state={state} view={state.step} />
          <Legend />
        </>
      ) : (
        <p class="empty">
          The first step begins when {state === null ? 'enough' : state.status.run.workersNeeded} workers are here. Then
          this shows which of them computes which slice.
        </p>
      )}
      {state?.eventful && <EventfulStep {...state.eventful} />}
    </section>
  );
}

function RunningStep({ state, view }: { state: SeenLive; view: StepView }) {
  const [nowMs, setNowMs] = useState(performance.now());
  const isGrowing = !view.isOver;
  useEffect(() => {
    if (!isGrowing) return undefined;
    const timer = setInterval(() => setNowMs(performance.now()), growEveryMs);
    return () => clearInterval(timer);
  }, [isGrowing]);
  const sinceMs = isGrowing ? Math.max(0, Math.max(nowMs, state.atMs) - state.atMs) : 0;
  const elapsedMs = view.elapsedMs + sinceMs;
  // The scale stands still while steps take about as long as each other.
  const scale = useRef(1);
  if (elapsedMs > scale.current || (view.isOver && elapsedMs < 0.6 * scale.current))
    scale.current = 1.15 * elapsedMs;
  const here = state.status.workers.filter((worker) => worker.state !== 'lost');
  return (
    <Lanes
      lanes={lanesOf(view, here, elapsedMs)}
      scaleMs={scale.current}
      text={describeStep({ ...view, elapsedMs }, here)}
      spares={state.status.run.phase === 'paused' ? 'paused' : 'spare'}
    />
  );
}

function EventfulStep({ view, agoMs }: { view: StepView; agoMs: number }) {
  const all = lanesOf(view, [], view.elapsedMs);
  const lanes = all.length > maxQuietLanes ? troubledLanes(all) : all;
  const others = all.length - lanes.length;
  return (
    <div class="eventful">
      <h3>
        Latest trouble: step {wholeNumber(view.step)} <span class="muted">{duration(agoMs)} ago</span>
      </h3>
      <p>{describeTrouble(view)} Nothing was rolled back.</p>
      <Lanes lanes={lanes} scaleMs={view.elapsedMs} text={describeStep(view, [])} spares="" />
      {others > 0 && (
        <p class="muted">
          {others === 1 ? 'One other worker' : `${wholeNumber(others)} other workers`} answered as usual.
        </p>
      )}
    </div>
  );
}

function Lanes({ lanes, scaleMs, text, spares }: { lanes: Lane[]; scaleMs: number; text: string; spares: string }) {
  return (
    <figure class={lanes.length > maxThickLanes ? 'lanes thin' : 'lanes'}>
      <figcaption class="hidden">{text}</figcaption>
      <div aria-hidden="true">
        {lanes.map(({ worker, name, bars }) => (
          <div key={worker} class="lane">
            <span class="name">{name}</span>
            <span class="track">
              {bars.length === 0 && <span class="none">{spares}</span>}
              {bars.map((bar, index) => (
                <Bar key={index} bar={bar} scaleMs={scaleMs} />
              ))}
            </span>
          </div>
        ))}
        <div class="lane axis">
          <span class="name" />
          <span class="track">
            <span>0</span>
            <span>{duration(scaleMs)}</span>
          </span>
        </div>
      </div>
    </figure>
  );
}

function Bar({ bar, scaleMs }: { bar: LaneBar; scaleMs: number }) {
  const { label, look, isTakeover, startMs, endMs } = bar;
  const left = `${(100 * startMs) / scaleMs}%`;
  const width = `${(100 * (endMs - startMs)) / scaleMs}%`;
  return (
    <span class={`bar ${look}${isTakeover ? ' takeover' : ''}`} style={{ left, width }}>
      {isTakeover && '↷ '}
      {look === 'lost' && '✕ '}
      {label}
    </span>
  );
}

const legend: readonly { look: string; text: string }[] = [
  { look: 'running', text: 'computing' },
  { look: 'counted', text: 'answered' },
  { look: 'late', text: 'late' },
  { look: 'counted takeover', text: '↷ taken over' },
  { look: 'lost', text: '✕ lost' },
  { look: 'unneeded', text: 'trial, or too late to count' },
];

function Legend() {
  return (
    <ul class="legend" aria-label="What the bars mean">
      {legend.map(({ look, text }) => (
        <li key={text}>
          <span class={`swatch bar ${look}`} aria-hidden="true" />
          {text}
        </li>
      ))}
    </ul>
  );
}
