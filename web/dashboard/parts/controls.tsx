// What an operator may do with the run; what cannot be undone is asked twice.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { operate, type OperatorRequest } from '../connection.js';
import { live, session } from '../store.js';

/** What came of the latest request: for everybody to see and to hear. */
const outcome = signal<{ text: string; isRefusal: boolean } | null>(null);
/** What is to be asked again before it is done. */
export const question = signal<{ title: string; text: string; button: string; request: OperatorRequest } | null>(null);

const doneWords: Record<OperatorRequest['action'], string> = {
  pause: 'The run pauses after this step.',
  continue: 'The run goes on.',
  checkpoint: 'A checkpoint is saved after this step.',
  stop: 'The run stops after this step and saves.',
  drop: 'The worker was told to leave.',
};

async function send(request: OperatorRequest): Promise<void> {
  outcome.value = null;
  const refusal = await operate(request);
  outcome.value =
    refusal === undefined
      ? { text: doneWords[request.action], isRefusal: false }
      : { text: `Not done: ${refusal}.`, isRefusal: true };
}

const stopQuestion = {
  title: 'Stop this run?',
  text: 'The running step ends, a checkpoint is saved, and the coordinator and its workers exit. The run goes on from there with --resume; this page cannot start it again.',
  button: 'Stop the run',
  request: { action: 'stop' },
} as const;

export function Controls() {
  const state = live.value;
  if (session.value?.mayOperate !== true || state === null) return null;
  const { control } = state;
  const isHeld = control === 'pausing' || control === 'paused';
  const isEnding = control === 'stopping' || state.status.run.phase === 'ended';
  return (
    <>
      <div role="group" aria-label="Controls" class="controls">
        <button type="button" disabled={isEnding} onClick={() => void send({ action: isHeld ? 'continue' : 'pause' })}>
          {isHeld ? 'Continue' : 'Pause'}
        </button>
        <button type="button" disabled={isEnding} onClick={() => void send({ action: 'checkpoint' })}>
          Checkpoint
        </button>
        <button type="button" class="danger" disabled={isEnding} onClick={() => (question.value = stopQuestion)}>
          Stop…
        </button>
      </div>
      <Question />
      <Outcome />
    </>
  );
}

/** How long the outcome of a request stays. */
const shownMs = 6_000;

function Outcome() {
  const shown = outcome.value;
  useEffect(() => {
    if (shown === null) return undefined;
    const timer = setTimeout(() => (outcome.value = null), shownMs);
    return () => clearTimeout(timer);
  }, [shown]);
  return (
    <div class="toast-place" role="status">
      {shown !== null && <p class={shown.isRefusal ? 'toast refusal' : 'toast'}>{shown.text}</p>}
    </div>
  );
}

function Question() {
  const dialog = useRef<HTMLDialogElement>(null);
  const asked = question.value;
  useEffect(() => {
    if (asked !== null) dialog.current?.showModal();
    else dialog.current?.close();
  }, [asked]);
  return (
    <dialog ref={dialog} aria-labelledby="question" onClose={() => (question.value = null)}>
      {asked !== null && (
        <form method="dialog">
          <h2 id="question">{asked.title}</h2>
          <p>{asked.text}</p>
          <div class="buttons">
            <button type="submit">Cancel</button>
            <button type="submit" class="danger filled" onClick={() => void send(asked.request)}>
              {asked.button}
            </button>
          </div>
        </form>
      )}
    </dialog>
  );
}
