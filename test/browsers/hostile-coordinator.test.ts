// A tab with a hostile coordinator: its worker closes the connection with the reason that a Node worker gives, and then
// computes for a correct coordinator. ../hostile-coordinator.test.ts has all attacks.
import { expect, it, onTestFinished } from 'vitest';
import { JoinRoutes } from '../../coordinator/connections/join/join-routes.js';
import { openBrowserOrReason } from '../support/browsers.js';
import { attacks } from '../support/hostile-coordinators.js';
import { startScriptedCoordinator } from '../support/scripted-coordinator.js';

const names = [
  'a path instead of a shard hash in the welcome',
  'data that does not match its hash',
  'endless chunks',
  'a network nested very deeply',
  'an unknown operation',
  'an excessive number of weights',
  'an excessive shard',
  'a heartbeat with an unknown field',
  'too many weights',
  'a message too long for the model',
  'a range of 2^40 slices',
  'a label that is not a class',
  'endless requests',
];

it('a tab of Chromium survives hostile coordinators, and then computes', async ({ skip }) => {
  const browser = await openBrowserOrReason('Chromium', 'hostile coordinators');
  if (typeof browser === 'string') {
    skip(browser);
    return;
  }
  onTestFinished(() => browser.close());
  const chosen = attacks.filter(([name]) => names.includes(name));
  expect(chosen).toHaveLength(names.length);
  const scripts = new Map(chosen.map(([name, , script]) => [name, script]));
  const problems: unknown[] = [];
  let images = 0;
  const coordinator = await startScriptedCoordinator(
    [
      // The worker's name tells which attack it is for.
      async (peer) => {
        const script = scripts.get(peer.hello.name);
        if (script !== undefined) return script(peer);
        images = await peer.runStep();
      },
    ],
    (error) => problems.push(error),
    new JoinRoutes({ about: () => ({ problem: 'unknown' }), allowedOrigins: [] }),
  );
  onTestFinished(() => coordinator.close());
  const tab = await browser.openTab();
  await tab.goto(`${coordinator.url.replace('ws:', 'http:')}/join`);
  const reasons = await tab.evaluate<string[]>(`(async () => {
    const { startWorker } = await import('/join/index.js');
    const reasons = [];
    for (const name of ${JSON.stringify(chosen.map(([name]) => name))}) {
      const worker = startWorker(location.origin, { name, cache: false });
      reasons.push(await new Promise((resolve) => worker.on('reconnecting', ({ reason }) => resolve(reason))));
      worker.stop();
      await worker.done;
    }
    const worker = startWorker(location.origin, { name: 'unharmed', cache: false });
    await new Promise((resolve) => worker.on('progress', resolve));
    return reasons;
  })()`);
  expect(reasons).toEqual(chosen.map(([, reason]) => expect.stringMatching(reason) as string));
  await expect.poll(() => images).toBe(4);
  expect(problems).toEqual([]);
  expect(tab.problems).toEqual([]);
});
