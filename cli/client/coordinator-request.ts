// HTTP requests to a coordinator, over TLS if the URL begins with https or wss.
import { request, type ClientRequest, type IncomingHttpHeaders } from 'node:http';
import { request as secureRequest } from 'node:https';
import { minTls, type ClientTls } from '../../shared/protocol/client-tls.js';

export const responseTimeoutMs = 10_000;

export interface Response {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  sentMs: number;
  receivedMs: number;
}

export interface Credentials {
  token?: string | undefined;
  tls?: ClientTls | undefined;
}

/**
 * @param url a URL that begins with http, https, ws or wss
 * @returns a request that the caller must end. It fails with ETIMEDOUT after responseTimeoutMs without network activity
 */
export function openRequest(url: URL, headers: Readonly<Record<string, string>>, tls: ClientTls = {}): ClientRequest {
  const target = new URL(url);
  target.protocol = url.protocol.replace('ws', 'http');
  const call =
    target.protocol === 'https:'
      ? secureRequest(target, { ...tls, minVersion: minTls, headers, agent: false })
      : request(target, { headers, agent: false });
  const timeout = Object.assign(new Error('no response'), { code: 'ETIMEDOUT' });
  call.setTimeout(responseTimeoutMs, () => call.destroy(timeout));
  return call;
}

/** Ends the request. Resolves with the response, whatever its status, or rejects with the connection error. */
export async function responseOf(call: ClientRequest): Promise<Response> {
  const sentMs = Date.now();
  return new Promise((resolve, reject) => {
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

export async function get(url: URL, { token, tls }: Credentials = {}): Promise<Response> {
  return responseOf(openRequest(url, token === undefined ? {} : { authorization: `Bearer ${token}` }, tls));
}
