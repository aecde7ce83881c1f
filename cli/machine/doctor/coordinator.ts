// Checks a coordinator from a worker's point of view: connection, protocol version, WebSockets, token and clock.
import { z } from 'zod';
import type { ClientTls } from '../../../shared/protocol/client-tls.js';
import { explainConnectionError } from '../../../shared/protocol/connection-error.js';
import { messageOf, systemCodeOf } from '../../../shared/errors.js';
import { parseJson } from '../../../shared/json.js';
import { protocolVersion } from '../../../shared/protocol/messages.js';
import { lockstepVersion } from '../../../shared/version.js';
import {
  get,
  openRequest,
  responseOf,
  responseTimeoutMs,
  type Credentials,
  type Response,
} from '../../client/coordinator-request.js';
import { withFlags } from '../../output/flag-names.js';
import type { Check } from './check.js';

/**
 * Clock difference above which the check warns, because the logs of two machines become hard to compare. The Date
 * header has a resolution of one second.
 */
const maxClockSkewMs = 5_000;

const health = z.looseObject({
  status: z.literal('ok'),
  lockstepVersion: z.string().optional(),
  protocolVersion: z.number().optional(),
});
const refusal = z.looseObject({ error: z.string() });

/** @param url URL that a worker would use: ws://HOST:PORT or wss://HOST:PORT */
export async function checkCoordinator(url: string, credentials: Credentials = {}): Promise<Check[]> {
  const about = 'connection';
  let response: Response;
  try {
    response = await get(endpoint(url, '/healthz'), credentials);
  } catch (error) {
    return [{ about, mark: 'problem', ...explainUnreachable(error, url) }];
  }
  const parsed = health.safeParse(parseJson(response.body)).data;
  if (response.status !== 200 || parsed === undefined) {
    const says = `something other than a coordinator responds (HTTP ${response.status} for /healthz)`;
    return [{ about, mark: 'problem', says, remedy: 'check the port: a coordinator prints its URL when it starts' }];
  }
  const ms = response.receivedMs - response.sentMs;
  return [
    { about, mark: 'ok', says: `${url} responds in ${ms.toFixed(ms < 10 ? 1 : 0)} ms` },
    checkProtocol(parsed.protocolVersion, parsed.lockstepVersion),
    await checkUpgrade(url, credentials.tls),
    await checkToken(url, credentials),
    checkClock(response),
  ];
}

function checkProtocol(protocol: number | undefined, release: string | undefined): Check {
  const about = 'protocol';
  if (protocol === undefined) {
    const remedy = 'update the coordinator: it refuses workers with another protocol version';
    return { about, mark: 'warning', says: 'the coordinator is too old to report its version', remedy };
  }
  const says = `version ${protocol} (lockstep ${release ?? 'of unknown version'})`;
  if (protocol === protocolVersion) return { about, mark: 'ok', says };
  const older = protocol < protocolVersion ? 'the coordinator' : 'this machine';
  return {
    about,
    mark: 'problem',
    says: `${says}; this machine has version ${protocolVersion} (lockstep ${lockstepVersion})`,
    remedy: `update ${older}, so that both sides have the same version`,
  };
}

/** Checks whether a WebSocket can be opened, because some proxies block them. No hello is sent, so no worker joins. */
async function checkUpgrade(url: string, tls: ClientTls | undefined): Promise<Check> {
  const about = 'WebSockets';
  const problem = (says: string, remedy?: string): Check => ({ about, mark: 'problem', says, remedy });
  const proxyRemedy = 'a proxy between the machines must forward the Upgrade and Connection headers';
  try {
    const { status, body } = await upgrade(url, tls);
    if (status === 101) return { about, mark: 'ok', says: 'can be opened' };
    // If the coordinator refuses a missing or wrong client certificate, its response includes the remedy.
    if (status === 403 && /^[^<\n]{1,1000}$/.test(body)) return problem(`are refused: ${withFlags(body)}`);
    return problem(`are refused (HTTP ${status})`, proxyRemedy);
  } catch (error) {
    return problem(`cannot be opened: ${withFlags(messageOf(error))}`, proxyRemedy);
  }
}

/**
 * Checks the token by requesting the status. A worker token may not read the status, but the refusal reports the role
 * of the token, which shows that the coordinator knows it.
 */
async function checkToken(url: string, credentials: Credentials): Promise<Check> {
  const about = 'token';
  const ok = (says: string): Check => ({ about, mark: 'ok', says });
  const problem = (says: string, remedy?: string): Check => ({ about, mark: 'problem', says, remedy });
  const { token } = credentials;
  const { status, headers, body } = await get(endpoint(url, '/status'), credentials);
  const reason = withFlags(refusal.safeParse(parseJson(body)).data?.error ?? `HTTP ${status}`);
  const remedy = 'pass a token that the coordinator knows, with LOCKSTEP_TOKEN or --token-file';
  const role = headers['lockstep-role'];
  // The refusal is not about the token, and the response includes the remedy.
  if (status === 403 && role === undefined) return problem(`not checked: ${reason}`);
  if (token === undefined) {
    if (status === 200) return ok('none given; this machine needs none to read the status');
    return problem('none given, but the coordinator requires one', remedy);
  }
  if (status === 200 && role === undefined) return ok('accepted');
  if (role === 'owner' || role === 'worker') return ok(`accepted; its role is ${role}`);
  if (typeof role === 'string') return problem(`its role is ${role}, which may not join`, 'use a worker token');
  return problem(`refused: ${reason}`, remedy);
}

export function checkClock({
  headers,
  sentMs,
  receivedMs,
}: Pick<Response, 'headers' | 'sentMs' | 'receivedMs'>): Check {
  const about = 'clock';
  const theirsMs = Date.parse(headers.date ?? '');
  if (Number.isNaN(theirsMs)) return { about, mark: 'ok', says: 'unknown: the coordinator sends no Date header' };
  // The header is truncated to whole seconds, so it is half a second too early on average.
  const skewMs = theirsMs + 500 - (sentMs + receivedMs) / 2;
  const seconds = Math.abs(skewMs / 1000).toFixed(0);
  if (Math.abs(skewMs) <= maxClockSkewMs) return { about, mark: 'ok', says: 'agrees within seconds' };
  const says = `the coordinator is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} this machine`;
  const remedy = 'run timedatectl set-ntp true on both: timestamps in logs differ, and TLS may fail';
  return { about, mark: 'warning', says, remedy };
}

function explainUnreachable(error: unknown, url: string): { says: string; remedy: string } {
  const { reason, isFinal } = explainConnectionError(error as Error, url);
  if (isFinal) {
    const [says, ...remedy] = withFlags(reason).split(': ');
    return { says, remedy: remedy.join(': ') };
  }
  const { hostname, port } = new URL(url);
  const address = `${hostname}:${port || (url.startsWith('wss') ? 443 : 80)}`;
  const noRoute = {
    says: `no route to ${address}`,
    remedy: 'check that both machines are on the same network',
  };
  const unknownHost = { says: `cannot resolve the host name ${hostname}`, remedy: 'use its IP address, or check DNS' };
  const explanations: Readonly<Record<string, { says: string; remedy: string }>> = {
    ECONNREFUSED: {
      says: `nothing listens on ${address}`,
      remedy: 'start the coordinator; for workers on other machines it needs --host 0.0.0.0',
    },
    ENOTFOUND: unknownHost,
    EAI_AGAIN: unknownHost,
    EHOSTUNREACH: noRoute,
    ENETUNREACH: noRoute,
    ETIMEDOUT: {
      says: `${address} did not respond within ${responseTimeoutMs / 1000} s`,
      remedy: 'open the port in the firewall, if there is one',
    },
  };
  const unknown = { says: `${address}: ${reason}`, remedy: 'check the URL: a coordinator prints it when it starts' };
  return explanations[systemCodeOf(error) ?? ''] ?? unknown;
}

/** Requests a WebSocket upgrade. Returns the HTTP status, and the body if the upgrade is refused. */
async function upgrade(url: string, tls: ClientTls | undefined): Promise<Pick<Response, 'status' | 'body'>> {
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': Buffer.alloc(16).toString('base64'),
  };
  const call = openRequest(endpoint(url, '/worker'), headers, tls);
  const upgraded = new Promise<Pick<Response, 'status' | 'body'>>((resolve) => {
    call.on('upgrade', (_response, socket) => {
      socket.destroy();
      resolve({ status: 101, body: '' });
    });
  });
  return Promise.race([upgraded, responseOf(call)]);
}

function endpoint(url: string, path: string): URL {
  return new URL(`${url.replace(/\/$/, '')}${path}`);
}
