// What a person must not overlook: that the page has lost its run, or how the run ended.
import { useEffect, useState } from 'preact/hooks';
import { retryNow } from '../connection.js';
import { connection, ending } from '../store.js';
import { duration, percent, perSecond, wholeNumber } from '../wording.js';

export function Banner() {
  if (ending.value !== null) return <EndingBanner />;
  const state = connection.value;
  return state.phase === 'lost' ? <LostBanner retryAtMs={state.retryAtMs} /> : null;
}

function LostBanner({ retryAtMs }: { retryAtMs: number }) {
  const [nowMs, setNowMs] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNowMs(performance.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.ceil((retryAtMs - nowMs) / 1000));
  return (
    <section class="banner bad" aria-label="Connection">
      <p role="alert">Connection lost. What you see is how the run stood then.</p>
      <p class="muted">{seconds === 0 ? 'Trying…' : `Next try in ${seconds} s`}</p>
      <button type="button" onClick={retryNow}>
        Try now
      </button>
    </section>
  );
}

function EndingBanner() {
  const { how, message, report } = ending.value!;
  return (
    <section
      class={how === 'finished' ? 'banner good' : how === 'failed' ? 'banner bad' : 'banner late'}
      aria-label="End"
    >
      {report === null ? (
        <p>
          <strong>{how === 'failed' ? 'The run failed' : 'The run was interrupted'}</strong>
          {message !== null && `: ${message}`}.
          {how === 'interrupted' && ' It goes on from its last checkpoint with --resume.'}
        </p>
      ) : (
        <>
          <p>
            <strong>Finished:</strong> {percent(report.test.accuracy, 2)} of the test images right, loss{' '}
            {report.test.loss.toFixed(3)}. {wholeNumber(report.imagesSeen)} images at{' '}
            {perSecond(report.imagesPerSecond)} images/s, {duration(1000 * report.wallSeconds)} in all.
          </p>
          <p class="hash">
            <span>weights</span> <code>{report.weightsSha256}</code>{' '}
            <span>({report.exact ? 'exact' : 'not exact'})</span>
          </p>
        </>
      )}
    </section>
  );
}
