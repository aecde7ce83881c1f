// A coordinator as a worker would meet it: whether it answers, speaks our protocol, lets WebSockets through, knows the token,
// and what its clock says.
import { z } from 'zod';
import type { ClientTls } from '../../../shared/protocol/client-tls.js';
import { explainConnectionError } from '../../../shared/protocol/connection-error.js';
import { messageOf, systemCodeOf } from '../../../shared/errors.js';
import { protocolVersion } from '../../../shared/protocol/messages.js';
import { lockstepVersion } from '../../../shared/version.js';
import { answerTimeoutMs, get, openRequest, type Answer, type Credentials } from '../../client/coordinator-request.js';
import type { Check } from './check.js';

/** Logs of machines further apart than this are hard to read side by side. The Date header counts whole seconds. */
const bearableSkewMs = 5_000;

const health = z.looseObject({
  status: z.literal('ok'),
  lockstepVersion: z.string().optional(),
  protocolVersion: z.number().optional(),
});
const refusal = z.looseObject({ error: z.string() });

/** @param url ws://HOST:PORT or wss://…, as a worker is given it */
export async function checkCoordinator(url: string, credentials: Credentials = {}): Promise<Check[]> {
  let answer: Answer;
  try {
    answer = await get(pageOf(url, '/healthz'), credentials);
  } catch (error) {
    return [{ about: 'answers', mark: 'problem', ...whyUnreachable(error, url) }];
  }
  const parsed = health.safeParse(jsonIn(answer.body)).data;
  if (answer.status !== 200 || parsed === undefined) {
    const says = `something else answers there (HTTP ${answer.status} to /healthz, no coordinator's answer)`;
    const remedy = 'look at the port: a coordinator prints its URL when it starts';
    return [{ about: 'answers', mark: 'problem', says, remedy }];
  }
  const ms = answer.receivedMs - answer.sentMs;
  return [
    { about: 'answers', mark: 'ok', says: `${url}, in ${ms.toFixed(ms < 10 ? 1 : 0)} ms` },
    checkProtocol(parsed.protocolVersion, parsed.lockstepVersion),
    await checkUpgrade(url, credentials.tls),
    await checkToken(url, credentials),
    checkClock(answer),
  ];
}

function checkProtocol(protocol: number | undefined, release: string | undefined): Check {
  const about = 'protocol';
  if (protocol === undefined) {
    const remedy = 'workers of this version are refused if it speaks another protocol: update the coordinator';
    return { about, mark: 'warning', says: 'it does not say its version, so it is older than this one', remedy };
  }
  const says = `version ${protocol} (lockstep ${release ?? 'of unknown version'})`;
  if (protocol === protocolVersion) return { about, mark: 'ok', says };
  const older = protocol < protocolVersion ? 'the coordinator' : 'this machine';
  const remedy = `update ${older}: one version on both sides`;
  return {
    about,
    mark: 'problem',
    says: `${says}; this is version ${protocolVersion} (lockstep ${lockstepVersion})`,
    remedy,
  };
}

/** Whether a WebSocket can be opened: some proxies do not pass them on. No hello is said, so nobody joins. */
async function checkUpgrade(url: string, tls: ClientTls | undefined): Promise<Check> {
  const about = 'WebSockets';
  try {
    const { status, body } = await upgradeAnswer(url, tls);
    if (status === 101) return { about, mark: 'ok', says: 'get through' };
    // So a coordinator answers whoever shows no right certificate, and says what mends it.
    if (status === 403 && /^[^<\n]{1,1000}$/.test(body))
      return { about, mark: 'problem', says: `are refused: ${body}` };
    const remedy = 'a proxy on the way must pass Upgrade and Connection on';
    return { about, mark: 'problem', says: `are refused (HTTP ${status})`, remedy };
  } catch (error) {
    const remedy = 'a proxy on the way must pass Upgrade and Connection on';
    return { about, mark: 'problem', says: `do not get through: ${messageOf(error)}`, remedy };
  }
}

/** A worker's token does not allow to read, and the coordinator then says whose it is: it is known. */
async function checkToken(url: string, credentials: Credentials): Promise<Check> {
  const about = 'token';
  const { token } = credentials;
  const { status, headers, body } = await get(pageOf(url, '/status'), credentials);
  const error = refusal.safeParse(jsonIn(body)).data?.error ?? `HTTP ${status}`;
  const remedy = "LOCKSTEP_TOKEN or --token-file: the coordinator's own";
  const role = headers['lockstep-role'];
  // Not for the token, which was not looked at; the words say what mends it.
  if (status === 403 && role === undefined) return { about, mark: 'problem', says: `not looked at: ${error}` };
  if (token === undefined) {
    if (status === 200) return { about, mark: 'ok', says: 'none shown, and none needed to read from this machine' };
    return { about, mark: 'problem', says: 'none shown, and it demands one', remedy };
  }
  if (status === 200 && role === undefined) return { about, mark: 'ok', says: 'accepted' };
  if (role === 'owner' || role === 'worker') return { about, mark: 'ok', says: `accepted, as ${article(role)}'s` };
  if (typeof role === 'string') {
    const says = `known, but as ${article(role)}'s, who may not join as a worker`;
    return { about, mark: 'problem', says, remedy: "show a worker's token" };
  }
  return { about, mark: 'problem', says: `refused: ${error}`, remedy };
}

function article(role: string): string {
  return `${/^[aeiou]/.test(role) ? 'an' : 'a'} ${role}`;
}

export function checkClock({ headers, sentMs, receivedMs }: Pick<Answer, 'headers' | 'sentMs' | 'receivedMs'>): Check {
  const about = 'clock';
  const theirsMs = Date.parse(headers.date ?? '');
  if (Number.isNaN(theirsMs)) return { about, mark: 'ok', says: 'it does not tell its time' };
  // The header leaves out what has passed of its second: half of one, on average.
  const skewMs = theirsMs + 500 - (sentMs + receivedMs) / 2;
  const seconds = Math.abs(skewMs / 1000).toFixed(0);
  if (Math.abs(skewMs) <= bearableSkewMs) return { about, mark: 'ok', says: 'agrees with this one, within seconds' };
  const says = `the coordinator's is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} this one`;
  const remedy = 'times in logs will not fit together, and TLS may fail: timedatectl set-ntp true on both';
  return { about, mark: 'warning', says, remedy };
}

function whyUnreachable(error: unknown, url: string): { says: string; remedy: string } {
  const { reason, isFinal } = explainConnectionError(error as Error, url);
  if (isFinal) {
    const [says, ...remedy] = reason.split(': ');
    return { says, remedy: remedy.join(': ') };
  }
  const { hostname, port } = new URL(url);
  const where = `${hostname}:${port || (url.startsWith('wss') ? 443 : 80)}`;
  const inNoNetwork = { says: `there is no way to ${where} from here`, remedy: 'are both machines in one network?' };
  const noSuchName = {
    says: `there is no machine called ${hostname}`,
    remedy: 'give its address, or look at DNS',
  };
  const diagnoses: Readonly<Record<string, { says: string; remedy: string }>> = {
    ECONNREFUSED: {
      says: `nothing listens on ${where}`,
      remedy: 'is the coordinator running? For other machines it needs --host 0.0.0.0',
    },
    ENOTFOUND: noSuchName,
    EAI_AGAIN: noSuchName,
    EHOSTUNREACH: inNoNetwork,
    ENETUNREACH: inNoNetwork,
    ETIMEDOUT: {
      says: `${where} does not answer within ${answerTimeoutMs / 1000} s`,
      remedy: 'a firewall may drop what is sent there: open the port',
    },
  };
  const unknown = { says: `${where}: ${reason}`, remedy: 'is this the URL that the coordinator printed?' };
  return diagnoses[systemCodeOf(error) ?? ''] ?? unknown;
}

/** How an upgrade to a WebSocket is answered, and with which words where it is refused. */
async function upgradeAnswer(url: string, tls: ClientTls | undefined): Promise<{ status: number; body: string }> {
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': Buffer.alloc(16).toString('base64'),
  };
  return new Promise((resolve, reject) => {
    const call = openRequest(pageOf(url, '/worker'), headers, tls);
    call.on('upgrade', (_response, socket) => {
      socket.destroy();
      resolve({ status: 101, body: '' });
    });
    call.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    call.on('error', reject);
    call.end();
  });
}

function pageOf(url: string, path: string): URL {
  return new URL(`${url.replace(/\/$/, '')}${path}`);
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // whoever reads it finds that it is no answer of ours
  }
}
