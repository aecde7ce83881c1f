// The dashboard of a recorded run: the same page, with data from the run directory, served on loopback only.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { listen } from '../../connections/server.js';
import { plainAnswer, setStrictHeaders } from '../../connections/http/strict-headers.js';
import { TokenTable } from '../../connections/tokens.js';
import type { Subscriber } from './feed.js';
import { readRecordedRun } from './recorded-run.js';
import { DashboardRoutes } from './routes.js';

export interface RecordedDashboard {
  url: string;
  close(): Promise<void>;
}

const host = '127.0.0.1';

/**
 * Serves the dashboard of a run directory. Throws `bad-option` if it is not a run directory, or `port-in-use`.
 * @param port port to listen on; 0 for any free port
 */
export async function openRecordedDashboard(directory: string, port: number): Promise<RecordedDashboard> {
  await readRecordedRun(directory);
  const routes = new DashboardRoutes({
    policy: () => ({ tokens: TokenTable.none, isLoopback: true }),
    operate: undefined,
    subscribe(page) {
      // If the directory has become unreadable, the page shows a lost connection.
      sendRun(page, directory).catch(() => undefined);
      return () => undefined;
    },
  });
  const http = createServer((request, response) => {
    setStrictHeaders(request, response);
    if (!routes.answer(request, response)) response.writeHead(404).end();
  });
  http.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    const answer = routes.upgrade(request, socket, head);
    if (answer === 'taken') return;
    const { status, reason } = answer === 'not mine' ? { status: '404 Not Found', reason: '' } : answer;
    socket.end(plainAnswer(status, reason));
  });
  await listen(http, host, port);
  return {
    url: `http://${host}:${(http.address() as AddressInfo).port}`,
    async close() {
      await routes.close();
      const closed = new Promise<void>((resolve) => http.close(() => resolve()));
      http.closeAllConnections();
      await closed;
    },
  };
}

async function sendRun(page: Subscriber, directory: string): Promise<void> {
  try {
    for (const message of await readRecordedRun(directory)) page.send(JSON.stringify(message));
  } finally {
    page.close();
  }
}
