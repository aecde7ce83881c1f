// The dashboard of a run that is over: the same page, read from the run's folder, for this machine alone.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { listen } from '../../connections/server.js';
import { plainAnswer, setStrictHeaders } from '../../connections/strict-headers.js';
import { TokenTable } from '../../connections/tokens.js';
import type { Watcher } from './feed.js';
import { readRecordedRun } from './recorded-run.js';
import { DashboardRoutes } from './routes.js';

export interface RecordedDashboard {
  url: string;
  close(): Promise<void>;
}

const host = '127.0.0.1';

/** Throws `bad-option` for what is no run's folder, `port-in-use`. @param port 0 for any free one */
export async function openRecordedDashboard(directory: string, port: number): Promise<RecordedDashboard> {
  await readRecordedRun(directory);
  const routes = new DashboardRoutes({
    policy: () => ({ tokens: TokenTable.none, isLoopback: true }),
    operate: undefined,
    watch(watcher) {
      // What keeps the folder from being read, the page shows as a connection that is lost.
      tell(watcher, directory).catch(() => undefined);
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

async function tell(watcher: Watcher, directory: string): Promise<void> {
  try {
    for (const message of await readRecordedRun(directory)) watcher.send(JSON.stringify(message));
  } finally {
    watcher.close();
  }
}
