// The dashboard's routes on the coordinator's port: the page's files, /session, /login, /logout, /control and
// /join-link for operators, and /watch, the WebSocket of an open page.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { builtFile } from '../../../shared/built-file.js';
import { parseJson } from '../../../shared/json.js';
import type { JoinLinkView } from '../../../shared/monitoring/join.js';
import type { Session } from '../../../shared/monitoring/session.js';
import {
  accessTo,
  challengeOf,
  foreignOrigin,
  isSameOrigin,
  tokenCookie,
  type PortAccess,
} from '../../connections/http/http-access.js';
import { operatorRequest, type OperatorRequest } from '../../training/operator.js';
import { pathOf, PageFiles, replyJson } from '../../connections/http/page-files.js';
import type { ServedPages, UpgradeRefusal } from '../../connections/http/served-pages.js';
import { isEncrypted } from '../../connections/http/strict-headers.js';
import { mayDo } from '../../connections/tokens.js';
import type { Subscriber } from './feed.js';
import { WatchSockets } from './watch-sockets.js';

/** The page's files by request path. */
const files: Readonly<Record<string, string>> = {
  '/': 'index.html',
  '/dashboard.js': 'dashboard.js',
  '/dashboard.css': 'dashboard.css',
  '/icon.svg': 'icon.svg',
};
/** Maximum size of a request body, which contains a token or an action. */
const maxBodyBytes = 4_096;
const login = z.strictObject({ token: z.string().max(1000) });

export interface DashboardOptions {
  /** Returns the current access rules; called for each request. */
  policy: () => PortAccess;
  /** Called with each page that opens; returns a function to call when the page has closed. */
  subscribe: (page: Subscriber) => () => void;
  /**
   * Carries out an operator's request; undefined if there is no run to control.
   * @returns why the request is refused; undefined if it was carried out
   */
  operate: ((request: OperatorRequest, by: string) => string | undefined) | undefined;
  /** Returns the current join link; undefined if the run was started without join links. */
  joinLink?: (() => JoinLinkView) | undefined;
}

/** Name of the operator for requests without a token from this machine. */
const localUser = 'a user of this machine';

export class DashboardRoutes implements ServedPages {
  readonly #options: DashboardOptions;
  readonly #files = new PageFiles();
  readonly #sockets = new WatchSockets();

  constructor(options: DashboardOptions) {
    this.#options = options;
  }

  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const path = pathOf(request);
    const { method = '' } = request;
    if (method === 'GET' || method === 'HEAD') {
      if (Object.hasOwn(files, path)) {
        const locate = () => builtFile(`../../../web/dashboard/${files[path]}`, import.meta.url);
        this.#files.send(request, response, path, locate);
      } else if (path === '/session') {
        replyJson(response, 200, this.#session(request));
      } else if (path === '/join-link') {
        this.#joinLink(request, response);
      } else {
        return false;
      }
      return true;
    }
    if (method !== 'POST') return false;
    if (path === '/login') {
      this.#readBody(request, response, login, ({ token }) => this.#login(request, response, token));
    } else if (path === '/logout') {
      this.#setCookie(request, response, '');
      replyJson(response, 200, {});
    } else if (path === '/control') {
      this.#control(request, response);
    } else {
      return false;
    }
    return true;
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): 'taken' | 'not mine' | UpgradeRefusal {
    if (pathOf(request) !== '/watch') return 'not mine';
    const access = accessTo('read', request.headers, this.#options.policy());
    if (!access.allowed) {
      return { status: access.status === 401 ? '401 Unauthorized' : '403 Forbidden', reason: access.message };
    }
    if (this.#sockets.isFull) return { status: '503 Service Unavailable', reason: 'too many dashboard pages are open' };
    this.#sockets.accept(request, socket, head, this.#options.subscribe);
    return 'taken';
  }

  async close(): Promise<void> {
    await this.#sockets.close();
  }

  #session({ headers }: IncomingMessage): Session {
    const policy = this.#options.policy();
    const reading = accessTo('read', headers, policy);
    const operating = accessTo('operate', headers, policy);
    const holder = reading.allowed ? reading.holder : undefined;
    return {
      mayRead: reading.allowed,
      mayOperate: operating.allowed && this.#options.operate !== undefined,
      isLive: this.#options.operate !== undefined,
      holder: holder ?? null,
      hasJoinLinks: this.#options.joinLink !== undefined,
      hasTokens: !policy.tokens.isEmpty,
    };
  }

  #login(request: IncomingMessage, response: ServerResponse, token: string): void {
    const holder = this.#options.policy().tokens.holderOf(token);
    if (holder === undefined) {
      const challenge = challengeOf({ status: 401 }, request.headers);
      return replyJson(response, 401, { error: 'unknown token' }, challenge);
    }
    if (!mayDo(holder.role, 'read')) {
      return replyJson(response, 403, { error: `${holder.name} has the role ${holder.role}, which may not read` });
    }
    this.#setCookie(request, response, token);
    replyJson(response, 200, { name: holder.name, role: holder.role });
  }

  #joinLink(request: IncomingMessage, response: ServerResponse): void {
    const { joinLink } = this.#options;
    if (this.#operatorOf(request, response) === undefined) return;
    replyJson(response, 200, joinLink === undefined ? null : joinLink());
  }

  #control(request: IncomingMessage, response: ServerResponse): void {
    const { operate } = this.#options;
    if (operate === undefined) return replyJson(response, 409, { error: 'the run has ended' });
    const operator = this.#operatorOf(request, response);
    if (operator === undefined) return;
    this.#readBody(request, response, operatorRequest, (body) => {
      const refusal = operate(body, operator);
      if (refusal === undefined) replyJson(response, 200, { done: body.action });
      else replyJson(response, 409, { error: refusal });
    });
  }

  /** Returns the name of the operator who sent a request; otherwise, refuses the request and returns undefined. */
  #operatorOf(request: IncomingMessage, response: ServerResponse): string | undefined {
    const access = accessTo('operate', request.headers, this.#options.policy());
    if (access.allowed) return access.holder?.name ?? localUser;
    replyJson(response, access.status, { error: access.message }, challengeOf(access, request.headers));
    return undefined;
  }

  /** Logs a browser in or, if the token is empty, out. */
  #setCookie(request: IncomingMessage, response: ServerResponse, token: string): void {
    const isSecure = isEncrypted(request, this.#options.policy().publicUrl);
    response.setHeader('set-cookie', tokenCookie(token, request.headers, isSecure));
  }

  /**
   * Reads and parses a JSON body. Other sites' pages can submit forms but cannot send JSON without permission (CORS),
   * so requiring JSON protects against cross-site requests, in addition to the Origin check and SameSite cookies.
   */
  #readBody<Body>(
    request: IncomingMessage,
    response: ServerResponse,
    schema: z.ZodType<Body>,
    take: (body: Body) => void,
  ): void {
    if (!isSameOrigin(request.headers, this.#options.policy().publicUrl))
      return replyJson(response, 403, { error: foreignOrigin });
    if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) {
      return replyJson(response, 415, { error: 'the body must be JSON, with Content-Type: application/json' });
    }
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > maxBodyBytes) request.destroy();
    });
    request.on('end', () => {
      const body = schema.safeParse(parseJson(text));
      if (body.success) return take(body.data);
      const [issue] = body.error.issues;
      replyJson(response, 400, { error: `${issue.path.join('.') || 'the body'}: ${issue.message}` });
    });
  }
}
