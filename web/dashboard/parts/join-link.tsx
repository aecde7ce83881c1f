// The link that lets browsers join, for operators: its address, its QR code, and the buttons that create and revoke it.
import { computed, signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { JoinLinkView } from '../../../shared/monitoring/join.js';
import { wholeNumber } from '../../common/numbers.js';
import { askJoinLink } from '../connection.js';
import { ending, events, live, session } from '../store.js';
import { moment } from '../wording.js';
import { confirmation, outcome, send } from './controls.js';

/** The link; null if there is none, undefined until the coordinator has answered. */
const link = signal<JoinLinkView | undefined>(undefined);
/** Longest delay of a timer. */
const maxDelayMs = 2 ** 31 - 1;

/** Changes whenever the link, or the number of its workers, may have changed. */
const version = computed(() => {
  const { workersJoined, workersLost } = live.value?.status.run ?? {};
  const latest = events.value.find(({ event }) => event.startsWith('join-link-'));
  return `${workersJoined} ${workersLost} ${latest?.key}`;
});

export function JoinLink() {
  const { hasJoinLinks = false, mayOperate = false } = session.value ?? {};
  return hasJoinLinks && mayOperate && ending.value === null ? <Panel /> : null;
}

async function refresh(): Promise<void> {
  try {
    link.value = await askJoinLink();
  } catch {
    // The connection is lost, which the page says elsewhere, or the user has just logged out.
    link.value = undefined;
  }
}

function Panel() {
  useEffect(() => void refresh(), [version.value]);
  const expires = link.value?.expires;
  useEffect(() => {
    if (expires === undefined) return undefined;
    const timer = setTimeout(() => void refresh(), Math.min(maxDelayMs, Date.parse(expires) - Date.now()));
    return () => clearTimeout(timer);
  }, [expires]);
  if (link.value === undefined) return null;
  return (
    <section class="card" aria-labelledby="join-link-title">
      <h2 id="join-link-title">
        Join link{' '}
        {link.value !== null && (
          <span class="count">
            {wholeNumber(link.value.workers)} of {wholeNumber(link.value.maxWorkers)} workers
          </span>
        )}
      </h2>
      {link.value === null ? <NoLink /> : <CurrentLink {...link.value} />}
    </section>
  );
}

function NoLink() {
  return (
    <>
      <p class="empty">There is no join link, because it has expired or was revoked.</p>
      <button type="button" onClick={() => void send({ action: 'create-link' })}>
        Create a link
      </button>
    </>
  );
}

function CurrentLink({ url, svg, expires }: NonNullable<JoinLinkView>) {
  const address = useRef<HTMLInputElement>(null);
  return (
    <div class="join-link">
      <img src={svg} alt="QR code of the join link" width="148" height="148" />
      <div>
        <p>
          Until {moment(expires)}, anyone who opens this link can make their browser a worker. Share it only with people
          you trust: a worker that sends wrong gradients is not detected yet.
        </p>
        <label for="join-link-url">Link</label>
        <input id="join-link-url" ref={address} readOnly value={url} onFocus={() => address.current?.select()} />
        <div class="actions">
          <button type="button" onClick={() => void copy(url, address.current!)}>
            Copy
          </button>
          <button type="button" class="danger" onClick={() => (confirmation.value = revocation)}>
            Revoke…
          </button>
        </div>
      </div>
    </div>
  );
}

async function copy(url: string, address: HTMLInputElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(url);
    outcome.value = { text: 'The link was copied.', isError: false };
  } catch {
    // Browsers have no clipboard over plain HTTP from other machines, or the user has refused it.
    address.focus();
    outcome.value = { text: 'Copy the selected link with the keyboard or the menu.', isError: false };
  }
}

const revocation = {
  title: 'Revoke the join link?',
  text: 'Nobody can join with it anymore, and workers that joined with it are disconnected. You can create a new link afterward.',
  button: 'Revoke the link',
  request: { action: 'revoke-link' },
} as const;
