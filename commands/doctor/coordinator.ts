// A coordinator as a worker would meet it: whether it answers, speaks our protocol, lets WebSockets through, knows the token,
// and what its clock says.
import { request, type IncomingHttpHeaders } from 'node:http';
import { request as secureRequest } from 'node:https';
import { z } from 'zod';
import { messageOf, systemCodeOf } from '../../shared/errors.js';
import { protocolVersion } from '../../shared/protocol/messages.js';
import { lockstepVersion } from '../../shared/version.js';
import type { Check } from './check.js';

const answerTimeoutMs = 10_000;
/** Logs of machines further apart than this are hard to read side by side. The Date header counts whole seconds. */
const bearableSkewMs = 5_000;

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  sentMs: number;
  receivedMs: number;
}

const health = z.looseObject({
  status: z.literal('ok'),
  lockstepVersion: z.string().optional(),
  protocolVersion: z.number().optional(),
});
const refusal = z.looseObject({ error: z.string() });

/** @param url ws://HOST:PORT or wss://…, as a worker is given it */
export async function checkCoordinator(url: string, token: string | undefined): Promise<Check[]> {
  let answer: Answer;
  try {
    answer = await get(url, '/healthz');
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
    judgeProtocol(parsed.protocolVersion, parsed.lockstepVersion),
    await checkUpgrade(url),
    await checkToken(url, token),
    judgeClock(answer),
  ];
}

export function judgeProtocol(protocol: number | undefined, release: string | undefined): Check {
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
async function checkUpgrade(url: string): Promise<Check> {
  const about = 'WebSockets';
  try {
    const status = await upgradeStatus(url);
    if (status === 101) return { about, mark: 'ok', says: 'get through' };
    const remedy = 'a proxy on the way must pass Upgrade and Connection on';
    return { about, mark: 'problem', says: `are refused (HTTP ${status})`, remedy };
  } catch (error) {
    const remedy = 'a proxy on the way must pass Upgrade and Connection on';
    return { about, mark: 'problem', says: `do not get through: ${messageOf(error)}`, remedy };
  }
}

/** A worker's token does not allow to read, and the coordinator then says whose it is: it is known. */
async function checkToken(url: string, token: string | undefined): Promise<Check> {
  const about = 'token';
  const { status, headers, body } = await get(url, '/status', token);
  const error = refusal.safeParse(jsonIn(body)).data?.error ?? `HTTP ${status}`;
  const remedy = "LOCKSTEP_TOKEN or --token-file: the coordinator's own";
  if (token === undefined) {
    if (status === 200) return { about, mark: 'ok', says: 'none shown, and none needed to read from this machine' };
    return { about, mark: 'problem', says: 'none shown, and it demands one', remedy };
  }
  const role = headers['lockstep-role'];
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

export function judgeClock({ headers, sentMs, receivedMs }: Pick<Answer, 'headers' | 'sentMs' | 'receivedMs'>): Check {
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
  const unknown = { says: `${where}: ${messageOf(error)}`, remedy: 'is this the URL that the coordinator printed?' };
  return diagnoses[systemCodeOf(error) ?? ''] ?? unknown;
}

/** Resolves with the HTTP answer, whatever its status. */
async function get(url: string, path: string, token?: string): Promise<Answer> {
  const sentMs = Date.now();
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return new Promise((resolve, reject) => {
    const call = open(url, path, headers);
    call.on('response', (response) => {
      const receivedMs = Date.now();
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('error', reject);
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body, sentMs, receivedMs });
      });
    });
    call.on('error', reject);
    call.end();
  });
}

async function upgradeStatus(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = open(url, '/worker', {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': Buffer.alloc(16).toString('base64'),
    });
    call.on('upgrade', (_response, socket) => {
      socket.destroy();
      resolve(101);
    });
    call.on('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    call.on('error', reject);
    call.end();
  });
}

function open(url: string, path: string, headers: Record<string, string>) {
  const target = new URL(`${url.replace(/\/$/, '')}${path}`);
  const isSecure = target.protocol === 'wss:';
  target.protocol = isSecure ? 'https:' : 'http:';
  const call = (isSecure ? secureRequest : request)(target, { headers, agent: false });
  call.setTimeout(answerTimeoutMs, () => call.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
  return call;
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // whoever reads it finds that it is no answer of ours
  }
}
