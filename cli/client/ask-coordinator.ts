// Asks a running coordinator for its status over HTTP.
import { explainConnectionError } from '../../shared/protocol/connection-error.js';
import { LockstepError } from '../../shared/errors.js';
import { runStatus, type RunStatus } from '../../shared/monitoring/run-status.js';
import { get, type Answer, type Credentials } from './coordinator-request.js';

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
 * Throws `unreachable` where nobody listens, `refused` where the token or a certificate does not do, and `protocol` where
 * something else than a coordinator answers.
 */
export async function askStatus(
  url: string,
  credentials: Credentials = {},
): Promise<{ status: RunStatus; text: string }> {
  const address = addressOf(url);
  const answer = await ask(new URL('/status', address), credentials);
  if (answer.status === 401 || answer.status === 403) {
    // A 403 for something else than the token's role says itself what mends it.
    const isForToken = answer.status === 401 || answer.headers['lockstep-role'] !== undefined;
    const remedy = "give a viewer's token, or the coordinator's own, with LOCKSTEP_TOKEN or --token-file";
    const reason = reasonIn(answer.body);
    throw new LockstepError(
      'refused',
      `${address.host} does not let us read${isForToken ? ` (${reason}): ${remedy}` : `: ${reason}`}`,
    );
  }
  const status = answer.status === 200 ? runStatus.safeParse(jsonOrNothing(answer.body)) : undefined;
  if (status?.success === true) return { status: status.data, text: answer.body };
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

async function ask(url: URL, credentials: Credentials): Promise<Answer> {
  try {
    return await get(url, credentials);
  } catch (cause) {
    const { reason, isFinal } = explainConnectionError(cause as Error, url.origin);
    const message = isFinal
      ? `${url.host} cannot be asked: ${reason}`
      : `nobody answers at ${url.host} (${reason}): is the coordinator running there, and is this its port?`;
    throw new LockstepError('unreachable', message, { cause });
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
