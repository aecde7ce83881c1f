// The operator's buttons, with the confirmation dialog and the results of all actions. Actions that cannot be undone ask for confirmation.
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { operate, type OperatorRequest } from '../connection.js';
import { live, session } from '../store.js';
import { Modal } from './modal.js';

/** Result of the latest action, shown for shownMs. */
export const outcome = signal<{ text: string; isError: boolean } | null>(null);
/** The confirmation dialog that is open; null if there is none. */
export const confirmation = signal<{ title: string; text: string; button: string; request: OperatorRequest } | null>(
  null,
);

const successTexts: Record<OperatorRequest['action'], string> = {
  pause: 'The run pauses after the current step.',
  continue: 'The run continues.',
  checkpoint: 'A checkpoint is saved after the current step.',
  stop: 'The run saves a checkpoint after the current step and stops.',
  drop: 'The worker was disconnected.',
  'create-link': 'The join link was created.',
  'revoke-link': 'The join link was revoked.',
};

/** Sends a request, and shows its result. */
export async function send(request: OperatorRequest): Promise<void> {
  outcome.value = null;
  const error = await operate(request);
  outcome.value =
    error === undefined
      ? { text: successTexts[request.action], isError: false }
      : { text: `Failed: ${error}.`, isError: true };
}

const stopConfirmation = {
  title: 'Stop this run?',
  text: 'The run completes the current step and saves a checkpoint; then the coordinator and its workers exit. Start the coordinator with --resume to continue from the checkpoint.',
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
        <button
          type="button"
          class="danger"
          disabled={isEnding}
          onClick={() => (confirmation.value = stopConfirmation)}
        >
          Stop…
        </button>
      </div>
      <Confirmation />
      <Outcome />
    </>
  );
}

/** Time for which the result of a request is shown. */
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
      {shown !== null && <p class={shown.isError ? 'toast error' : 'toast'}>{shown.text}</p>}
    </div>
  );
}

function Confirmation() {
  const shown = confirmation.value;
  return (
    <Modal title="confirmation" isOpen={shown !== null} onClose={() => (confirmation.value = null)}>
      <form method="dialog">
        <h2 id="confirmation">{shown?.title}</h2>
        <p>{shown?.text}</p>
        <div class="buttons">
          <button type="submit">Cancel</button>
          <button type="submit" class="danger filled" onClick={() => shown && void send(shown.request)}>
            {shown?.button}
          </button>
        </div>
      </form>
    </Modal>
  );
}
