// The current step as a chart with one lane per worker and a horizontal time axis: which worker computes which slices.
// Below it, the most recent step in which a worker left or was late.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { StepView } from '../../../shared/monitoring/step-view.js';
import { live, type ReceivedLive } from '../store.js';
import { describeStep, describeRecovery, lanesOf, recoveryLanes, type Lane, type LaneBar } from '../step-lanes.js';
import { duration, wholeNumber } from '../../common/numbers.js';

/** Interval at which the bars of the current step are extended. */
const growEveryMs = 200;
/** If there are more workers than this, the most recent recovery shows only the lanes of the workers involved. */
const maxRecoveryLanes = 8;
/** If there are more lanes than this, all lanes are thin. */
const maxThickLanes = 16;

export function StepPanel() {
  const state = live.value;
  return (
    <section class="card step" aria-labelledby="step-title">
      <h2 id="step-title">Current step {state?.step && <span class="count">{wholeNumber(state.step.step)}</span>}</h2>
      {state?.step ? (
        <>
          <CurrentStep state={state} view={state.step} />
          <Legend />
        </>
      ) : (
        <p class="empty">
          The first step starts when {neededWorkers(state)} connected. This panel then shows which worker computes which
          slices.
        </p>
      )}
      {state?.lastRecovery && <LastRecovery {...state.lastRecovery} />}
    </section>
  );
}

function neededWorkers(state: ReceivedLive | null): string {
  if (state === null) return 'enough workers are';
  const { workersNeeded } = state.status.run;
  return workersNeeded === 1 ? '1 worker is' : `${wholeNumber(workersNeeded)} workers are`;
}

function CurrentStep({ state, view }: { state: ReceivedLive; view: StepView }) {
  const [nowMs, setNowMs] = useState(performance.now());
  const isGrowing = !view.isOver;
  useEffect(() => {
    if (!isGrowing) return undefined;
    const timer = setInterval(() => setNowMs(performance.now()), growEveryMs);
    return () => clearInterval(timer);
  }, [isGrowing]);
  const sinceMs = isGrowing ? Math.max(0, nowMs - state.receivedMs) : 0;
  const elapsedMs = view.elapsedMs + sinceMs;
  // Keeps the scale while steps take about the same time.
  const scale = useRef(1);
  if (elapsedMs > scale.current || (view.isOver && elapsedMs < 0.6 * scale.current)) scale.current = 1.15 * elapsedMs;
  const connected = state.status.workers.filter(({ state: of, relay }) => of !== 'lost' && relay === null);
  return (
    <Lanes
      lanes={lanesOf(view, connected, elapsedMs)}
      scaleMs={scale.current}
      text={describeStep({ ...view, elapsedMs }, connected)}
      spares={state.status.run.phase === 'paused' ? 'paused' : 'spare'}
    />
  );
}

function LastRecovery({ view, agoMs }: { view: StepView; agoMs: number }) {
  const all = lanesOf(view, [], view.elapsedMs);
  const lanes = all.length > maxRecoveryLanes ? recoveryLanes(all) : all;
  const others = all.length - lanes.length;
  return (
    <div class="last-recovery">
      <h3>
        Last recovery: step {wholeNumber(view.step)} <span class="muted">{duration(agoMs)} ago</span>
      </h3>
      <p>{describeRecovery(view)} Nothing was rolled back.</p>
      <Lanes lanes={lanes} scaleMs={view.elapsedMs} text={describeStep(view, [])} spares="" />
      {others > 0 && (
        <p class="muted">
          {others === 1 ? '1 other worker was' : `${wholeNumber(others)} other workers were`} not affected.
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
  const { label, look, isRecovery, startMs, endMs } = bar;
  const left = `${(100 * startMs) / scaleMs}%`;
  const width = `${(100 * (endMs - startMs)) / scaleMs}%`;
  return (
    <span class={`bar ${look}${isRecovery ? ' recovery' : ''}`} style={{ left, width }}>
      {isRecovery && '↷ '}
      {look === 'lost' && '✕ '}
      {label}
    </span>
  );
}

const legend: readonly { look: string; text: string }[] = [
  { look: 'running', text: 'computing' },
  { look: 'counted', text: 'answered' },
  { look: 'late', text: 'late' },
  { look: 'counted recovery', text: '↷ reassigned or speculative' },
  { look: 'lost', text: '✕ lost' },
  { look: 'unneeded', text: 'not counted' },
];

function Legend() {
  return (
    <ul class="legend" aria-label="Legend">
      {legend.map(({ look, text }) => (
        <li key={text}>
          <span class={`swatch bar ${look}`} aria-hidden="true" />
          {text}
        </li>
      ))}
    </ul>
  );
}
