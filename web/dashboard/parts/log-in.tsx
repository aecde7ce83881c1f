// Where a token is needed or opens more: a form that shows it to the coordinator once, which answers with a cookie that no
// script can read.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { logIn } from '../connection.js';
import { session } from '../store.js';

const isOpen = signal(false);
const refusal = signal<string | null>(null);

export function openLogIn(): void {
  refusal.value = null;
  isOpen.value = true;
}

async function submit(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const form = event.currentTarget as HTMLFormElement;
  const token = new FormData(form).get('token');
  if (typeof token !== 'string' || token === '') return;
  refusal.value = (await logIn(token)) ?? null;
  if (refusal.value !== null) return;
  form.reset();
  isOpen.value = false;
}

function TokenForm({ onCancel }: { onCancel?: () => void }) {
  return (
    <form onSubmit={(event) => void submit(event)}>
      <label for="token">Token</label>
      <input
        id="token"
        name="token"
        type="password"
        autocomplete="current-password"
        spellcheck={false}
        required
        aria-describedby="token-help"
      />
      <p id="token-help" class="hint">
        The coordinator's LOCKSTEP_TOKEN, or a viewer's or operator's token from its --token-file.
      </p>
      <p class="error" role="alert">
        {refusal.value !== null && `${refusal.value}.`}
      </p>
      <div class="buttons">
        {onCancel !== undefined && (
          <button type="button" onClick={onCancel}>
            Cancel
          </button>
        )}
        <button type="submit" class="filled">
          Log in
        </button>
      </div>
    </form>
  );
}

/** Instead of the run, for who may not read it. */
export function LogInPage() {
  const { hasTokens } = session.value!;
  return (
    <main class="log-in">
      <img src="icon.svg" alt="" width="40" height="40" />
      <h1>Lockstep</h1>
      {hasTokens ? (
        <>
          <p>This run is shown to those who have a token.</p>
          <TokenForm />
        </>
      ) : (
        <p>
          Without tokens this run is shown on its own machine alone. Open the page at 127.0.0.1, or start the
          coordinator with LOCKSTEP_TOKEN or --token-file.
        </p>
      )}
    </main>
  );
}

/** Over the run, for who may read it without a token. */
export function LogInDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = isOpen.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog ref={dialog} aria-labelledby="log-in-title" onClose={() => (isOpen.value = false)}>
      {open && (
        <>
          <h2 id="log-in-title">Log in</h2>
          <p>An operator's token lets you pause, save, stop and drop workers.</p>
          <TokenForm onCancel={() => (isOpen.value = false)} />
        </>
      )}
    </dialog>
  );
}
