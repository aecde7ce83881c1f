// Fetches the status of a running coordinator over HTTP.
import { explainConnectionError } from '../../shared/protocol/connection-error.js';
import { LockstepError } from '../../shared/errors.js';
import { runStatus, type RunStatus } from '../../shared/monitoring/run-status.js';
import { parseJson } from '../../shared/json.js';
import { get, type Credentials, type Response } from './coordinator-request.js';

/**
 * Converts the URL that workers or the dashboard use to an http or https URL. Throws `bad-option` for anything but
 * HOST:PORT, optionally preceded by ws://, wss://, http:// or https:// and followed by a path.
 */
export function httpUrlOf(url: string): URL {
  const withScheme = /^[a-z]+:\/\//i.test(url) ? url.replace(/^ws(s?):/i, 'http$1:') : `http://${url}`;
  const parsed = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new LockstepError(
      'bad-option',
      `the coordinator's URL is ${JSON.stringify(url)}: it must be HOST:PORT or a URL, for example http://127.0.0.1:7350`,
    );
  }
  return parsed;
}

/**
 * Fetches the status of the run at this URL, and returns it both parsed and as received. Throws `unreachable` if
 * nothing responds, `refused` if the token or certificate is not accepted, and `protocol` if the response is not that
 * of a coordinator of this version.
 */
export async function fetchStatus(
  url: string,
  credentials: Credentials = {},
): Promise<{ status: RunStatus; text: string }> {
  const { host, origin, pathname } = httpUrlOf(url);
  const response = await getOrExplain(new URL(`${pathname.replace(/\/$/, '')}/status`, origin), credentials);
  if (response.status === 401 || response.status === 403) throw refusalOf(host, response);
  const parsed = response.status === 200 ? runStatus.safeParse(parseJson(response.body)) : undefined;
  if (parsed?.success === true) return { status: parsed.data, text: response.body };
  const issue = parsed?.error.issues[0];
  const problem =
    parsed === undefined ? `HTTP ${response.status}` : `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim();
  throw new LockstepError(
    'protocol',
    `${host} responds, but not like a coordinator of this version of Lockstep (${problem}): check the port, and compare ` +
      '`lockstep --version` on both machines',
  );
}

function refusalOf(host: string, { status, headers, body }: Response): LockstepError {
  const json = parseJson(body);
  const reason = typeof json === 'object' && json !== null && 'error' in json ? String(json.error) : `HTTP ${status}`;
  // If a 403 is not about the role of the token, its message already includes a remedy.
  const isAboutToken = status === 401 || headers['lockstep-role'] !== undefined;
  const remedy = isAboutToken ? ': pass a viewer, operator or owner token with LOCKSTEP_TOKEN or --token-file' : '';
  return new LockstepError('refused', `${host} denied access: ${reason}${remedy}`);
}

async function getOrExplain(url: URL, credentials: Credentials): Promise<Response> {
  try {
    return await get(url, credentials);
  } catch (cause) {
    const { reason, isFinal } = explainConnectionError(cause as Error, url.origin);
    const message = isFinal
      ? `cannot connect to ${url.host}: ${reason}`
      : `no response from ${url.host} (${reason}): check the port, and that the coordinator is running there`;
    throw new LockstepError('unreachable', message, { cause });
  }
}
