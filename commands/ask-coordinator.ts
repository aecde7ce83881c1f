// Asks a running coordinator for its status over HTTP.
import { LockstepError, messageOf } from '../shared/errors.js';
import { runStatus, type RunStatus } from '../shared/run-status.js';

const timeoutMs = 10_000;

/**
 * The address under which a coordinator answers, from the one that its workers use or from a browser's.
 * Throws `bad-option` for anything but HOST:PORT with ws, wss, http, https or no scheme before it.
 */
export function addressOf(url: string): URL {
  const withScheme = /^[a-z]+:\/\//i.test(url) ? url.replace(/^ws(s?):/i, 'http$1:') : `http://${url}`;
  const parsed = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new LockstepError(
      'bad-option',
      `the coordinator's URL is ${JSON.stringify(url)}: it must be HOST:PORT, for example http://127.0.0.1:7350`,
    );
  }
  return parsed;
}

/**
 * The status of the run at this URL, and the text that it came in.
 * Throws `unreachable` where nobody listens, `refused` where the token does not do, and `protocol` where something else
 * than a coordinator answers.
 */
export async function askStatus(url: string, token: string | undefined): Promise<{ status: RunStatus; text: string }> {
  const address = addressOf(url);
  const answer = await get(new URL('/status', address), token);
  if (answer.status === 401 || answer.status === 403) {
    throw new LockstepError(
      'refused',
      `${address.host} does not let us read (${reasonIn(answer.text)}): give a viewer's token, or the coordinator's own, ` +
        'with LOCKSTEP_TOKEN or --token-file',
    );
  }
  const status = answer.status === 200 ? runStatus.safeParse(jsonOrNothing(answer.text)) : undefined;
  if (status?.success === true) return { status: status.data, text: answer.text };
  const problem =
    status === undefined
      ? `status ${answer.status}`
      : `${status.error.issues[0]?.path.join('.') ?? ''} ${status.error.issues[0]?.message ?? ''}`.trim();
  throw new LockstepError(
    'protocol',
    `${address.host} answers, but not as a coordinator of this version of lockstep does (${problem}): see the URL's port, ` +
      'and `lockstep --version` on both sides',
  );
}

async function get(url: URL, token: string | undefined): Promise<{ status: number; text: string }> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(timeoutMs) });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    // fetch says no more than that it failed; its cause says how.
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new LockstepError(
      'unreachable',
      `nobody answers at ${url.host} (${messageOf(cause)}): is the coordinator running there, and is this its port?`,
      { cause: error },
    );
  }
}

function jsonOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reasonIn(text: string): string {
  const body = jsonOrNothing(text);
  return typeof body === 'object' && body !== null && 'error' in body ? String(body.error) : 'no reason was given';
}
