// The page's state as signals, and how each message from the coordinator changes it.
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

/** Maximum number of events shown. */
const shownEvents = 300;

export interface Curves {
  history: StepHistory;
  evaluations: readonly EvaluationPoint[];
}

export type ConnectionState =
  | { phase: 'connecting' }
  | { phase: 'open' }
  /** `retryAtMs` is on the time scale of performance.now(). */
  | { phase: 'lost'; retryAtMs: number }
  /** The run has ended, and no more messages will arrive. */
  | { phase: 'ended' };

export interface ReceivedLive extends LiveState {
  /** Time of arrival, from performance.now(). */
  receivedMs: number;
}

export interface LoggedEvent extends EventLine {
  /** Serial number, used as the key in Preact. */
  key: number;
}

export const connection = signal<ConnectionState>({ phase: 'connecting' });
export const session = signal<Session | null>(null);
export const facts = signal<RunFacts | null>(null);
export const isRecorded = signal(false);
/** Data of the charts. Replaced by a new object on every change. */
export const curves = signal<Curves>({ history: new StepHistory(), evaluations: [] });
/** Logged events, newest first. */
export const events = signal<readonly LoggedEvent[]>([]);
export const live = signal<ReceivedLive | null>(null);
export const ending = signal<Ending | null>(null);

let eventKey = 0;
/** The latest live state, to which the next difference is applied. */
let lastLive: LiveState | null = null;

export function take(message: WatchMessage): void {
  batch(() => {
    switch (message.type) {
      case 'run':
        if (facts.value?.runId !== message.facts.runId) reset();
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
        showLive(message.live === null ? lastLive : (applyDifference(lastLive, message.live) as LiveState | null));
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

/** Clears the state of a different run that previously used this port. */
function reset(): void {
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
  lastLive = state;
  live.value = state && { ...state, receivedMs: performance.now() };
}
