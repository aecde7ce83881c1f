// The page after the work: how it ended, and what this device contributed.
import { percent, wholeNumber } from '../../common/numbers.js';
import { asSentence } from '../endings.js';
import { contribution, shareOfRun, type Ending } from '../state.js';
import { join } from '../work.js';
import { Heading } from './heading.js';

/** Reason that the coordinator gives to its workers at the end of a run. */
const runEnded = 'the run has ended';

export function EndingView({ ending }: { ending: Ending }) {
  return (
    <section class="card">
      <Heading>{titleOf(ending)}</Heading>
      <Explanation ending={ending} />
      <p>{describeContribution()}</p>
      {(ending.how === 'left' || (ending.how === 'failed' && ending.canRetry)) && (
        <button type="button" class="filled start" onClick={join}>
          {ending.how === 'left' ? 'Join again' : 'Try again'}
        </button>
      )}
    </section>
  );
}

function titleOf(ending: Ending): string {
  if (ending.how === 'left') return 'You left the run';
  if (ending.how === 'failed') return ending.title;
  return ending.reason === runEnded ? 'The run is finished' : 'The coordinator has ended the work of this device';
}

function Explanation({ ending }: { ending: Ending }) {
  switch (ending.how) {
    case 'left':
      return <p>Other workers take over the slices of this device. The result stays the same.</p>;
    case 'ended':
      return ending.reason === runEnded ? null : <p>{asSentence(ending.reason)}</p>;
    case 'failed':
      return (
        <>
          <p>{ending.remedy}</p>
          <p class="hint problem">{ending.problem}</p>
        </>
      );
    default:
      return ending satisfies never;
  }
}

function describeContribution(): string {
  const { images, slices } = contribution.value;
  if (images === 0) return 'This device computed no slices.';
  const share = shareOfRun();
  const amount = `${wholeNumber(images)} images in ${wholeNumber(slices)} ${slices === 1 ? 'slice' : 'slices'}`;
  return `This device computed ${amount}${share === undefined ? '' : `, ${percent(share)} of the run`}.`;
}
