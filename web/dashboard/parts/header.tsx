// The page's header: the run's name and state, and the operator's buttons.
import { computed } from '@preact/signals';
import type { Ending, RunFacts } from '../../../shared/monitoring/messages.js';
import type { RunPhase } from '../../../shared/monitoring/run-status.js';
import { connection, ending, facts, isRecorded, live, session } from '../store.js';
import { logOut } from '../connection.js';
import { isDark, toggleTheme } from '../../common/theme.js';
import { percent } from '../../common/numbers.js';
import { Controls } from './controls.js';
import { openLogIn } from './log-in.js';

interface Pill {
  text: string;
  tone: 'active' | 'quiet' | 'late' | 'bad' | 'good';
}

const endPills: Record<Ending['how'], Pill> = {
  finished: { text: 'Finished', tone: 'good' },
  interrupted: { text: 'Interrupted', tone: 'late' },
  failed: { text: 'Failed', tone: 'bad' },
};
const phasePills: Record<RunPhase, Pill> = {
  waiting: { text: 'Waiting for workers', tone: 'late' },
  measuring: { text: 'Measuring engines', tone: 'good' },
  training: { text: 'Training', tone: 'active' },
  validating: { text: 'Validating', tone: 'active' },
  testing: { text: 'Testing', tone: 'active' },
  saving: { text: 'Saving', tone: 'active' },
  paused: { text: 'Paused', tone: 'late' },
  ended: { text: 'Ending', tone: 'quiet' },
};

function currentPill(): Pill {
  if (ending.value !== null) return endPills[ending.value.how];
  if (connection.value.phase === 'lost') return { text: 'Connection lost', tone: 'bad' };
  const state = live.value;
  if (state === null) return { text: 'Connecting', tone: 'quiet' };
  if (state.control === 'stopping') return { text: 'Stopping', tone: 'late' };
  if (state.control === 'pausing') return { text: 'Pausing after the current step', tone: 'late' };
  return phasePills[state.status.run.phase];
}

function runName({ runDirectory }: RunFacts): string {
  return runDirectory.split('/').findLast((part) => part !== '') ?? runDirectory;
}

/** Title of the browser tab, for example `Training 37% · first · Lockstep`. */
export const tabTitle = computed(() => {
  if (facts.value === null) return 'Lockstep';
  const run = live.value?.status.run;
  const progress = run === undefined || ending.value !== null ? '' : ` ${percent(run.step / run.steps, 0)}`;
  return `${currentPill().text}${progress} · ${runName(facts.value)} · Lockstep`;
});

export function Header() {
  const { text, tone } = currentPill();
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
  if (session.value === null || !session.value.hasTokens) return null;
  const { holder } = session.value;
  if (holder === null) {
    return (
      <button type="button" onClick={openLogIn}>
        Log in
      </button>
    );
  }
  return (
    <button type="button" title={`${holder.name}, ${holder.role}`} onClick={() => void logOut()}>
      Log out {holder.name}
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
