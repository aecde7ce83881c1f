// The page while the device works.
import { useState } from 'preact/hooks';
import { percent, perSecond, wholeNumber } from '../../common/numbers.js';
import { Figure } from '../../common/figure.js';
import { coordinatorUrl } from '../link.js';
import {
  about,
  cacheKind,
  cacheProblem,
  connection,
  contribution,
  engine,
  imagesOfRun,
  imagesPerSecond,
  isPaused,
  nowMs,
  run,
  shareOfRun,
  worker,
} from '../state.js';
import { asSentence } from '../endings.js';
import { progressOfRun, status } from '../status.js';
import { leave, pauseOrContinue } from '../work.js';
import { Heading } from './heading.js';
import { Limits } from './limits.js';

export function WorkingView() {
  const network = run.value?.network ?? about.value?.network;
  return (
    <>
      <section class="card">
        <Heading>{network === undefined ? 'Joining the run' : `Training ${network}`}</Heading>
        <RunProgress />
        <Notice />
        {cacheProblem.value !== null && (
          <p class="notice late">
            The training images cannot be kept on this device, so the next visit downloads them again.{' '}
            {asSentence(cacheProblem.value)}
          </p>
        )}
      </section>
      <Figures />
      <section class="card" aria-label="This device">
        <p>{connectionText()}</p>
        <p class="muted">{deviceText()}</p>
        <Limits />
        <Buttons />
      </section>
    </>
  );
}

function RunProgress() {
  const { value } = run;
  if (value === null) return null;
  return (
    <div class="progress">
      <p>
        Step {wholeNumber(value.steps)} of {wholeNumber(value.totalSteps)}
      </p>
      <p class="muted">{percent(progressOfRun() ?? 0, 0)} of the run</p>
      <progress aria-label="Steps of the run" value={value.steps} max={value.totalSteps} />
    </div>
  );
}

/** Explains the status, if it needs an explanation. */
function Notice() {
  const { explanation, tone } = status.value;
  if (explanation === '') return null;
  return (
    <p class={`notice ${tone}`}>
      {explanation}{' '}
      {connection.value.phase === 'lost' && !isPaused.value && <Countdown retryAtMs={connection.value.retryAtMs} />}
    </p>
  );
}

function Countdown({ retryAtMs }: { retryAtMs: number }) {
  const seconds = Math.max(0, Math.ceil((retryAtMs - nowMs.value) / 1000));
  return <span>{seconds === 0 ? 'Reconnecting now…' : `Reconnecting in ${seconds} s.`}</span>;
}

function Figures() {
  const { images, slices } = contribution.value;
  const rate = isPaused.value || connection.value.phase !== 'open' ? undefined : imagesPerSecond.value;
  const share = shareOfRun();
  return (
    <dl class="figures">
      <Figure name="Images/s" value={rate === undefined ? undefined : perSecond(rate)} note="this device" />
      <Figure name="Slices" value={wholeNumber(slices)} note={`${wholeNumber(images)} images`} />
      <Figure
        name="Share of the run"
        value={share === undefined ? undefined : percent(share)}
        note={
          run.value === null || share === undefined
            ? 'so far'
            : `of ${wholeNumber(imagesOfRun(run.value))} images so far`
        }
      />
    </dl>
  );
}

function connectionText(): string {
  const { host } = coordinatorUrl;
  if (isPaused.value) return `Not connected to ${host} while paused`;
  switch (connection.value.phase) {
    case 'connecting':
      return `Connecting to ${host}`;
    case 'open':
      return `Connected to ${host}`;
    case 'lost':
      return `Not connected to ${host}`;
    default:
      return connection.value satisfies never;
  }
}

function deviceText(): string {
  const { threads } = worker.value!;
  // The engine's name of the device includes the number of threads.
  return engine.value?.device ?? `This device, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
}

function Buttons() {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <div class="actions">
        <button type="button" aria-expanded={isOpen} aria-controls="details" onClick={() => setIsOpen(!isOpen)}>
          Details
        </button>
        <button type="button" onClick={pauseOrContinue}>
          {isPaused.value ? 'Continue' : 'Pause'}
        </button>
        <button type="button" class="danger" onClick={leave}>
          Leave
        </button>
      </div>
      <div id="details" hidden={!isOpen}>
        {isOpen && <Details />}
      </div>
    </>
  );
}

function Details() {
  const { name } = worker.value!;
  const facts: [name: string, value: string][] = [
    ['Worker', name],
    ['Network', run.value?.network ?? 'not known yet'],
    ['Device', engine.value?.device ?? 'not known yet'],
    ['Engine', engine.value?.engine ?? 'not known yet'],
    ['Fingerprint', engine.value?.fingerprint ?? 'not known yet'],
    ['Shard cache', cacheText()],
  ];
  return (
    <dl class="facts">
      {facts.map(([term, value]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function cacheText(): string {
  if (cacheProblem.value !== null) return 'failed: nothing more is kept';
  if (!isSecureContext) return 'off: browsers allow it over TLS only';
  switch (cacheKind.value) {
    case null:
      return 'not known yet';
    case 'none':
      return 'off: this browser has no storage for it';
    case 'opfs':
    case 'cache-api':
      return 'on: training images are kept for the next visit';
    default:
      return cacheKind.value satisfies never;
  }
}
