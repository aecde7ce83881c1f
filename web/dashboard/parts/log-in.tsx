// Logging in with a token. The coordinator answers with a cookie that no script can read.
import { signal } from '@preact/signals';
import { logIn } from '../connection.js';
import { session } from '../store.js';
import { Modal } from './modal.js';

const isOpen = signal(false);
const error = signal<string | null>(null);

export function openLogIn(): void {
  error.value = null;
  isOpen.value = true;
}

async function submit(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const form = event.currentTarget as HTMLFormElement;
  const token = new FormData(form).get('token');
  if (typeof token !== 'string' || token === '') return;
  error.value = (await logIn(token)) ?? null;
  if (error.value !== null) return;
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
        The coordinator's LOCKSTEP_TOKEN, or a viewer's or operator's token from its token file.
      </p>
      <p class="error" role="alert">
        {error.value !== null && `${error.value}.`}
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

/** Page shown instead of the run to users who may not view the run. */
export function LogInPage() {
  const { hasTokens } = session.value!;
  return (
    <main class="log-in">
      <img src="icon.svg" alt="" width="40" height="40" />
      <h1>Lockstep</h1>
      {hasTokens ? (
        <>
          <p>Log in with a token to see this run.</p>
          <TokenForm />
        </>
      ) : (
        <p>
          The coordinator has no tokens, so this run can be viewed only on the coordinator's machine, at 127.0.0.1. To
          allow access from other machines, start the coordinator with LOCKSTEP_TOKEN or --token-file.
        </p>
      )}
    </main>
  );
}

/** Dialog shown over the run, for users who may view the run without a token but need one to operate it. */
export function LogInDialog() {
  return (
    <Modal title="log-in-title" isOpen={isOpen.value} onClose={() => (isOpen.value = false)}>
      <h2 id="log-in-title">Log in</h2>
      <p>An operator's token lets you pause, save and stop the run, and drop workers.</p>
      <TokenForm onCancel={() => (isOpen.value = false)} />
    </Modal>
  );
}
