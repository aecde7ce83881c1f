// The page's WebSocket and HTTP requests: connects, detects silence, reconnects, and finds out what the user may do.
import type { JoinLinkView } from '../../shared/monitoring/join.js';
import type { WatchMessage } from '../../shared/monitoring/messages.js';
import type { Session } from '../../shared/monitoring/session.js';
import { connection, ending, session, take } from './store.js';

/** Silence after which the connection is considered lost. The coordinator sends at least one message every second. */
const silenceMs = 6_000;
const firstRetryMs = 500;
const maxRetryMs = 15_000;

let retries = 0;
let socket: WebSocket | undefined;
let retryTimer: ReturnType<typeof setTimeout> | undefined;

/** Finds out what the user may do, and connects if they may read. */
export async function connect(): Promise<void> {
  clearTimeout(retryTimer);
  if (connection.value.phase !== 'lost') connection.value = { phase: 'connecting' };
  try {
    session.value = await get<Session>('session');
  } catch {
    return retryLater();
  }
  if (session.value.mayRead) open();
}

function open(): void {
  socket?.close();
  const url = new URL('watch', document.baseURI);
  url.protocol = url.protocol.replace('http', 'ws');
  const opened = new WebSocket(url);
  socket = opened;
  let silence: ReturnType<typeof setTimeout> | undefined;
  const restartTimer = () => {
    clearTimeout(silence);
    silence = setTimeout(() => opened.close(), silenceMs);
  };
  restartTimer();
  opened.addEventListener('message', ({ data }) => {
    // The page comes from the same build as the coordinator, so the messages need no validation.
    take(JSON.parse(String(data)) as WatchMessage);
    retries = 0;
    if (connection.value.phase !== 'open') connection.value = { phase: 'open' };
    restartTimer();
  });
  opened.addEventListener('close', () => {
    clearTimeout(silence);
    if (socket !== opened) return;
    if (ending.value === null) retryLater();
    else connection.value = { phase: 'ended' };
  });
}

function retryLater(): void {
  const waitMs = Math.min(maxRetryMs, firstRetryMs * 2 ** retries++) * (0.75 + Math.random() / 2);
  connection.value = { phase: 'lost', retryAtMs: performance.now() + waitMs };
  retryTimer = setTimeout(() => void connect(), waitMs);
}

/** Reconnects immediately if the connection is lost. */
export function retryNow(): void {
  if (connection.value.phase === 'lost') void connect();
}

/** Logs in. @returns the error message; undefined if the token was accepted */
export async function logIn(token: string): Promise<string | undefined> {
  const refusal = await post('login', { token });
  if (refusal === undefined) await connect();
  return refusal;
}

export async function logOut(): Promise<void> {
  await post('logout', {});
  socket?.close();
  await connect();
}

export type OperatorRequest =
  | { action: 'pause' | 'continue' | 'checkpoint' | 'stop' | 'create-link' | 'revoke-link' }
  | { action: 'drop'; worker: number };

/** Sends an operator request. @returns the error message; undefined if the request was carried out */
export async function operate(request: OperatorRequest): Promise<string | undefined> {
  return post('control', request);
}

/** Asks for the join link, which only operators may see. */
export async function askJoinLink(): Promise<JoinLinkView> {
  return get<JoinLinkView>('join-link');
}

async function get<Answer>(path: string): Promise<Answer> {
  const response = await fetch(path, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return (await response.json()) as Answer;
}

async function post(path: string, body: object): Promise<string | undefined> {
  try {
    const response = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const { error } = (await response.json()) as { error?: string };
    if (response.ok) return undefined;
    return error ?? `the coordinator answered ${response.status}`;
  } catch {
    return 'the coordinator cannot be reached';
  }
}
