// What the page knows of the run, as signals; and how each message of the coordinator changes that.
import { batch, signal } from '@preact/signals';
import { applyDifference } from '../../shared/monitoring/difference.js';
import type {
  Ending,
  EvaluationPoint,
  EventLine,
  LiveState,
  RunFacts,
  WatchMessage,
} from '../../shared/monitoring/messages.js';
import type { Session } from '../../shared/monitoring/session.js';
import { StepHistory } from '../../shared/monitoring/step-history.js';

/** Events that are shown at most. */
const shownEvents = 300;

export interface Curves {
  history: StepHistory;
  evaluations: readonly EvaluationPoint[];
}

export type ConnectionState =
  | { phase: 'connecting' }
  | { phase: 'open' }
  /** Tried again at a moment of performance.now(). */
  | { phase: 'lost'; retryAtMs: number }
  /** The run is over: nothing more is to be heard. */
  | { phase: 'ended' };

export interface SeenLive extends LiveState {
  /** When it came, by performance.now(). */
  atMs: number;
}

export interface LoggedEvent extends EventLine {
  /** Counts up: tells lines apart. */
  key: number;
}

export const connection = signal<ConnectionState>({ phase: 'connecting' });
export const session = signal<Session | null>(null);
export const facts = signal<RunFacts | null>(null);
export const isRecorded = signal(false);
/** A new object whenever something was added. */
export const curves = signal<Curves>({ history: new StepHistory(), evaluations: [] });
/** The latest first. */
export const events = signal<readonly LoggedEvent[]>([]);
export const live = signal<SeenLive | null>(null);
export const ending = signal<Ending | null>(null);

let eventKey = 0;
/** What the coordinator told last, which it tells changes of. */
let told: LiveState | null = null;

export function take(message: WatchMessage): void {
  batch(() => {
    switch (message.type) {
      case 'run':
        if (facts.value?.runId !== message.facts.runId) forget();
        facts.value = message.facts;
        isRecorded.value = message.isRecorded;
        return;
      case 'history':
        curves.value = { history: StepHistory.from(message.steps), evaluations: message.evaluations };
        events.value = [];
        addEvents(message.events);
        showLive(message.live);
        return;
      case 'update': {
        const { history, evaluations } = curves.value;
        for (const point of message.steps) history.add(point);
        if (message.steps.length > 0 || message.evaluations.length > 0) {
          curves.value = { history, evaluations: [...evaluations, ...message.evaluations] };
        }
        addEvents(message.events);
        showLive(message.live === null ? told : (applyDifference(told, message.live) as LiveState | null));
        return;
      }
      case 'ended':
        ending.value = message.ending;
        return;
      default:
        message satisfies never;
    }
  });
}

/** Another run listens on this port now. */
function forget(): void {
  curves.value = { history: new StepHistory(), evaluations: [] };
  events.value = [];
  live.value = null;
  ending.value = null;
}

function addEvents(lines: readonly EventLine[]): void {
  if (lines.length === 0) return;
  const added = lines.map((line) => ({ ...line, key: ++eventKey })).toReversed();
  events.value = [...added, ...events.value].slice(0, shownEvents);
}

function showLive(state: LiveState | null): void {
  told = state;
  live.value = state && { ...state, atMs: performance.now() };
}
