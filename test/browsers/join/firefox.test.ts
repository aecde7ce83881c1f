// The page that joins a run in Firefox, with a worker that the test plays.
import { expect, it } from 'vitest';
import { openBrowserOrReason } from '../../support/browsers.js';
import { servePage } from './page-server.js';

const token = `join-0123456789abcdef-1796126400-32-${'s'.repeat(43)}`;

it('starts, works, continues after a reload, and leaves', async ({ skip }) => {
  const browser = await openBrowserOrReason('Firefox', 'the page that joins a run');
  if (typeof browser === 'string') {
    skip(browser);
    return;
  }
  const server = await servePage();
  try {
    const tab = await browser.openTab();
    await tab.goto(`http://127.0.0.1:${server.port}/join#${token}`);
    await tab.waitForText('for ada on lab-7');
    await tab.click('button');
    await tab.waitForText('Training resnet20');
    const joining = { network: 'resnet20', batchSize: 128, totalSteps: 1_000 };
    await tab.evaluate(`workers[0].emit('joined', ${JSON.stringify(joining)})`);
    await tab.evaluate(`workers[0].emit('engine', { engine: 'wasm', fingerprint: 'wasm/1', device: 'Firefox' })`);
    await tab.evaluate(`workers[0].emit('progress', { step: 49, images: 64, slices: 2 })`);
    await tab.waitForText('1.0%');
    await tab.waitForText('Step 50 of 1,000');
    await tab.reload();
    await tab.waitForText('Training resnet20');
    await tab.waitForText('64 images');
    await tab.click('button.danger');
    await tab.waitForText('You left the run');
    await tab.waitForText('This device computed 64 images in 2 slices.');
    expect(await tab.evaluate('workers[0].calls')).toEqual(['stop: its user left']);
    expect(tab.problems).toEqual([]);
  } finally {
    await browser.close();
    server.close();
  }
});
