// The page's head: which run, how it stands, and what may be done with it.
import { computed } from '@preact/signals';
import type { RunFacts } from '../../../shared/monitoring/messages.js';
import { connection, ending, facts, isRecorded, live, session } from '../store.js';
import { logOut } from '../connection.js';
import { isDark, toggleTheme } from '../theme.js';
import { percent } from '../wording.js';
import { Controls } from './controls.js';
import { openLogIn } from './log-in.js';

type Standing = { text: string; tone: 'active' | 'quiet' | 'late' | 'bad' | 'good' };

function standing(): Standing {
  if (ending.value !== null) {
    const { how } = ending.value;
    if (how === 'finished') return { text: 'Finished', tone: 'good' };
    return how === 'interrupted' ? { text: 'Interrupted', tone: 'late' } : { text: 'Failed', tone: 'bad' };
  }
  if (connection.value.phase === 'lost') return { text: 'Connection lost', tone: 'bad' };
  const state = live.value;
  if (state === null) return { text: 'Connecting', tone: 'quiet' };
  if (state.control === 'stopping') return { text: 'Stopping', tone: 'late' };
  if (state.control === 'pausing') return { text: 'Pausing after this step', tone: 'late' };
  const { run } = state.status;
  switch (run.phase) {
    case 'waiting':
      return { text: 'Waiting for workers', tone: 'late' };
    case 'training':
      return { text: 'Training', tone: 'active' };
    case 'validating':
      return { text: 'Validating', tone: 'active' };
    case 'testing':
      return { text: 'Testing', tone: 'active' };
    case 'saving':
      return { text: 'Saving', tone: 'active' };
    case 'paused':
      return { text: 'Paused', tone: 'late' };
    case 'ended':
      return { text: 'Ending', tone: 'quiet' };
    default:
      return run.phase satisfies never;
  }
}

function runName({ runDirectory }: RunFacts): string {
  return runDirectory.split('/').findLast((part) => part !== '') ?? runDirectory;
}

/** For a tab that is not in front: `Training 37% · night · Lockstep`. */
export const tabTitle = computed(() => {
  if (facts.value === null) return 'Lockstep';
  const run = live.value?.status.run;
  const progress = run === undefined || ending.value !== null ? '' : ` ${percent(run.step / run.steps, 0)}`;
  return `${standing().text}${progress} · ${runName(facts.value)} · Lockstep`;
});

export function Header() {
  const { text, tone } = standing();
  return (
    <header>
      <div class="title">
        <img src="icon.svg" alt="" width="28" height="28" />
        <h1>
          <span class="product">Lockstep</span> <span class="run-name">{runName(facts.value!)}</span>
        </h1>
        <p class={`pill ${tone}`} role="status">
          {text}
        </p>
      </div>
      <div class="actions">
        {!isRecorded.value && ending.value === null && <Controls />}
        <Account />
        <button type="button" class="icon-button" aria-pressed={isDark.value} onClick={toggleTheme}>
          <ThemeIcon />
          <span class="hidden">Dark theme</span>
        </button>
      </div>
    </header>
  );
}

function Account() {
  const reader = session.value;
  if (reader === null || !reader.hasTokens) return null;
  if (reader.holder === null) {
    return (
      <button type="button" onClick={openLogIn}>
        Log in
      </button>
    );
  }
  return (
    <button type="button" title={`${reader.holder.name}, ${reader.holder.role}`} onClick={() => void logOut()}>
      Log out {reader.holder.name}
    </button>
  );
}

function ThemeIcon() {
  return (
    <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
      <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="1.6" />
      <path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor" />
    </svg>
  );
}
