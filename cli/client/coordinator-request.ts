// HTTP to a coordinator, for commands that ask it about itself; over TLS where its URL says so.
import { request, type ClientRequest, type IncomingHttpHeaders } from 'node:http';
import { request as secureRequest } from 'node:https';
import { minTls, type ClientTls } from '../../shared/protocol/client-tls.js';

/** A coordinator that says nothing for so long does not answer. */
export const answerTimeoutMs = 10_000;

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  sentMs: number;
  receivedMs: number;
}

/** What a coordinator is shown, and by what it is known. */
export interface Credentials {
  token?: string | undefined;
  tls?: ClientTls | undefined;
}

/**
 * @param url http, https, ws or wss
 * @returns a request that is still to be ended, and that fails with ETIMEDOUT where nothing is heard for answerTimeoutMs
 */
export function openRequest(url: URL, headers: Readonly<Record<string, string>>, tls: ClientTls = {}): ClientRequest {
  const target = new URL(url);
  target.protocol = url.protocol.replace('ws', 'http');
  const call =
    target.protocol === 'https:'
      ? secureRequest(target, { ...tls, minVersion: minTls, headers, agent: false })
      : request(target, { headers, agent: false });
  call.setTimeout(answerTimeoutMs, () => call.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
  return call;
}

/** Resolves with the HTTP answer, whatever its status; rejects with the connection's error. */
export async function get(url: URL, { token, tls }: Credentials = {}): Promise<Answer> {
  const sentMs = Date.now();
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return new Promise((resolve, reject) => {
    const call = openRequest(url, headers, tls);
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
