// Prominent messages: the connection is lost, or the run has ended.
import { useEffect, useState } from 'preact/hooks';
import type { Ending } from '../../../shared/monitoring/messages.js';
import { retryNow } from '../connection.js';
import { connection, ending } from '../store.js';
import { duration, percent, perSecond, wholeNumber } from '../../common/numbers.js';

export function Banner() {
  if (ending.value !== null) return <EndingBanner ending={ending.value} />;
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
      <p role="alert">Connection lost. This is the last known state of the run.</p>
      <p class="muted">{seconds === 0 ? 'Reconnecting…' : `Reconnecting in ${seconds} s`}</p>
      <button type="button" onClick={retryNow}>
        Reconnect now
      </button>
    </section>
  );
}

const tones = { finished: 'good', interrupted: 'late', failed: 'bad' };

function EndingBanner({ ending: end }: { ending: Ending }) {
  return (
    <section class={`banner ${tones[end.how]}`} aria-label="Result">
      {end.how === 'finished' ? (
        <>
          <p>
            <strong>Finished</strong>
            {end.report.test !== null &&
              `: test accuracy ${percent(end.report.test.accuracy, 2)}, test loss ${end.report.test.loss.toFixed(3)}`}
            . Trained on {wholeNumber(end.report.imagesSeen)} images at {perSecond(end.report.imagesPerSecond)}{' '}
            images/s, {duration(1000 * end.report.wallSeconds)} in total.
          </p>
          <p class="hash">
            <span>weights SHA-256</span> <code>{end.report.weightsSha256}</code>{' '}
            <span>({end.report.exact ? 'exact' : 'not exact'})</span>
          </p>
        </>
      ) : (
        <p>
          <strong>The run {end.how === 'failed' ? 'failed' : 'was interrupted'}</strong>: {end.message}.
          {end.how === 'interrupted' && ' Continue it from its last checkpoint with --resume.'}
        </p>
      )}
    </section>
  );
}
