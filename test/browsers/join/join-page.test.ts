// The page that joins a run, in a browser, with a worker that the test plays.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openChromiumOrReason, openPage, violationsOn, type WatchedPage } from '../../support/chromium.js';
import { facts, servePage, type PageServer } from './page-server.js';

const linkId = '0123456789abcdef';
const token = `join-${linkId}-1796126400-32-${'s'.repeat(43)}`;
const otherHost = 'coordinator.example';

let browser: Browser | string;
let server: PageServer;
let watched: WatchedPage;

beforeAll(async () => {
  browser = await openChromiumOrReason('the page that joins a run', [
    `--host-resolver-rules=MAP ${otherHost} 127.0.0.1`,
  ]);
  server = await servePage();
});
beforeEach((context) => {
  if (typeof browser === 'string') context.skip(browser);
  server.about = { problem: null, ...facts };
  server.isIsolated = true;
  server.requests = [];
});
afterEach(async () => {
  if (typeof browser === 'string') return;
  const { page, problems } = watched;
  await page.context().close();
  if (problems.length > 0) throw new Error(problems.join('\n'));
});
afterAll(async () => {
  if (typeof browser !== 'string') await browser.close();
  server.close();
});

interface Opening {
  width?: number;
  colorScheme?: 'light' | 'dark';
  host?: string;
  prefix?: string;
  fragment?: string;
  /** Opens the page in a browser without WebGPU. */
  lacksWebGpu?: boolean;
}

async function openLink(opening: Opening = {}): Promise<Page> {
  const { width = 900, colorScheme = 'light', host = '127.0.0.1', prefix = '', fragment = token } = opening;
  const { lacksWebGpu = false } = opening;
  watched = await openPage(browser as Browser, { width, height: 800, colorScheme });
  await watched.page.clock.install();
  if (lacksWebGpu) await watched.page.addInitScript('delete Navigator.prototype.gpu');
  await watched.page.goto(`http://${host}:${server.port}${prefix}/join#${fragment}`);
  return watched.page;
}

const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
const buttonNames = (page: Page) => page.getByRole('button').allTextContents();

/** Makes the latest worker emit an event. */
const emit = (page: Page, type: string, event: object) =>
  page.evaluate(`workers.at(-1).emit('${type}', ${JSON.stringify(event)})`);

async function joined(page: Page): Promise<void> {
  const joining = { url: '', workerId: 3, network: 'resnet20', sliceCount: 4, batchSize: 128, totalSteps: 1_000 };
  await emit(page, 'joined', joining);
  await emit(page, 'engine', {
    engine: 'wasm',
    fingerprint: 'wasm 1.0 strict',
    device: 'Chrome 156 on Linux, 3 threads',
  });
}

/** Answers for one slice of 32 images in each of some steps, one per second. */
async function computed(page: Page, firstStep: number, count: number): Promise<void> {
  for (let step = firstStep; step < firstStep + count; step++) {
    await emit(page, 'progress', { step, images: 32, slices: 1 });
    await page.clock.runFor(1_000);
  }
}

async function openWorking(opening: Opening = {}): Promise<Page> {
  const page = await openLink(opening);
  await page.getByRole('button').first().click();
  await joined(page);
  return page;
}

const figure = (page: Page, name: string) =>
  page.locator('.figures > div').filter({ has: page.getByText(name, { exact: true }) });
const pill = (page: Page) => page.locator('.pill');
const status = (page: Page) => page.getByRole('status');
const heading = (page: Page) => page.getByRole('heading', { level: 1 });
const focused = (page: Page) => page.evaluate('document.activeElement.textContent');

describe('before the click', () => {
  it('says in one sentence what the browser would do, and has one button', async () => {
    const page = await openLink();
    const sentence = page.getByText('Your browser will help train');
    expect(await sentence.textContent()).toBe(
      'Your browser will help train resnet20 on CIFAR-10 (10 classes) for ada on lab-7: it will receive training images ' +
        "and weights, and compute with this device's processor.",
    );
    expect(await buttonNames(page)).toEqual(['Start computing']);
    expect(await page.evaluate('workers.length')).toBe(0);
    expect(await violationsOn(page)).toEqual([]);
  });

  it('sends no request with the token, and only the ID of the link', async () => {
    const page = await openLink();
    await button(page, 'Start computing').click();
    expect(server.requests.filter((request) => request.includes('sss'))).toEqual([]);
    expect(server.requests.filter((request) => request.startsWith(`GET /join/about?link=${linkId} `))).toHaveLength(1);
  });

  it('works behind a proxy that adds a path prefix', async () => {
    const page = await openLink({ prefix: '/lab' });
    await button(page, 'Start computing').click();
    expect(await page.evaluate('[workers[0].url, workers[0].options]')).toEqual([
      `http://127.0.0.1:${server.port}/lab/`,
      { token },
    ]);
    expect(server.requests.filter((request) => !request.startsWith('GET /lab/join'))).toEqual([]);
  });

  it.each([
    ['expired', 'The link has expired.'],
    ['revoked', 'The link was revoked.'],
    ['unknown', 'The coordinator does not know this link'],
    ['ended', 'The run has ended'],
  ] as const)('says that a link is %s, without a button', async (problem, text) => {
    server.about = { problem };
    const page = await openLink();
    await page.getByRole('alert').getByText(text).waitFor();
    expect(await page.getByRole('button').count()).toBe(0);
    expect(await violationsOn(page)).toEqual([]);
  });

  it.each(['', token.slice(0, -1), 'join-zz'])('asks for the complete link if it is %j', async (fragment) => {
    const page = await openLink({ fragment });
    await page.getByRole('alert').getByText('does not contain a complete link').waitFor();
    expect(await page.getByRole('button').count()).toBe(0);
  });

  it('says that the run uses an engine that browsers do not have', async () => {
    server.about = { problem: null, ...facts, engine: 'tensorflow' };
    const page = await openLink();
    await page.getByRole('alert').getByText('The run uses the tensorflow engine').waitFor();
    expect(await page.getByRole('button').count()).toBe(0);
  });

  it.each([
    [true, 'The run uses WebGPU, which this browser does not have', 0],
    [false, 'Start computing', 1],
  ])('joins a run with WebGPU unless the browser lacks it (%s)', async (lacksWebGpu, text, buttons) => {
    server.about = { problem: null, ...facts, engine: 'webgpu' };
    const page = await openLink({ lacksWebGpu });
    await page.getByText(text).waitFor();
    expect(await page.getByRole('button').count()).toBe(buttons);
  });

  it('says that the link allows no more workers at the moment', async () => {
    server.about = { problem: 'full', ...facts };
    const page = await openLink();
    await page.getByText('This one would join when one of them leaves.').waitFor();
    expect(await buttonNames(page)).toEqual(['Start computing']);
  });

  it('says that the coordinator does not answer', async () => {
    server.about = undefined;
    const page = await openLink();
    await page.getByRole('alert').getByText('Reload the page to try again.').waitFor();
    expect(await page.getByRole('button').count()).toBe(0);
    // Chromium logs the failed request.
    expect(watched.problems.splice(0)).not.toEqual([]);
  });

  it('says what TLS would add over plain HTTP, and still works', async () => {
    const page = await openWorking({ host: otherHost });
    const sentence =
      'Over plain HTTP, this device computes with one thread and without the shard cache; TLS adds both.';
    await page.getByText(sentence).waitFor();
    await button(page, 'Details').click();
    await page.getByText('off: browsers allow it over TLS only').waitFor();
    await computed(page, 40, 2);
    await figure(page, 'Slices').getByText('2', { exact: true }).waitFor();
    expect(await page.evaluate('navigator.locks')).toBeUndefined();
    // Chromium ignores some headers over plain HTTP, and logs that.
    watched.problems.splice(0);
  });

  it('says that a page that is not cross-origin isolated has one thread', async () => {
    server.isIsolated = false;
    const page = await openLink();
    await page.getByText('This page is not cross-origin isolated, so this device computes with one thread.').waitFor();
    expect(await buttonNames(page)).toEqual(['Start computing']);
  });
});

describe('while the device works', () => {
  it('shows images per second, slices, the share of the run, the connection and the device', async () => {
    const page = await openWorking();
    expect(await pill(page).textContent()).toBe('Preparing');
    await computed(page, 40, 10);
    expect(await pill(page).textContent()).toBe('Computing');
    // The time that the test itself takes counts too.
    await figure(page, 'Images/s')
      .getByText(/^(?:[1-9]|[12]\d|3[0-2])$/)
      .waitFor();
    await figure(page, 'Slices').getByText('10', { exact: true }).waitFor();
    // 320 images of the 50 steps so far, which have 128 each
    await figure(page, 'Share of the run').getByText('5.0%').waitFor();
    await figure(page, 'Share of the run').getByText('of 6,400 images so far').waitFor();
    await page.getByText('Step 50 of 1,000').waitFor();
    await page.getByText(`Connected to 127.0.0.1:${server.port}`).waitFor();
    await page.getByText('Chrome 156 on Linux, 3 threads').waitFor();
    expect(await page.title()).toBe('Computing · 5% · 320 images · Lockstep');
    expect(await violationsOn(page)).toEqual([]);
  });

  it('shows details on request, with the first button', async () => {
    const page = await openWorking();
    expect(await buttonNames(page)).toEqual(['Details', 'Pause', 'Leave']);
    expect(await button(page, 'Details').getAttribute('aria-expanded')).toBe('false');
    await button(page, 'Details').click();
    expect(await button(page, 'Details').getAttribute('aria-expanded')).toBe('true');
    const details = page.locator('#details');
    await emit(page, 'cacheOpened', { kind: 'opfs' });
    await details.getByText('on: training images are kept for the next visit').waitFor();
    for (const text of ['tab-1', 'resnet20', 'Chrome 156 on Linux, 3 threads', 'wasm 1.0 strict']) {
      await details.getByText(text, { exact: true }).waitFor();
    }
    expect(await violationsOn(page)).toEqual([]);
    await button(page, 'Details').click();
    expect(await details.isVisible()).toBe(false);
  });

  it('pauses and continues', async () => {
    const page = await openWorking();
    await computed(page, 40, 3);
    await button(page, 'Pause').click();
    expect(await pill(page).textContent()).toBe('Paused');
    await figure(page, 'Images/s').getByText('–').waitFor();
    expect(await violationsOn(page)).toEqual([]);
    await button(page, 'Continue').click();
    expect(await pill(page).textContent()).toBe('Connecting');
    await joined(page);
    await computed(page, 50, 2);
    expect(await pill(page).textContent()).toBe('Computing');
    await figure(page, 'Slices').getByText('5', { exact: true }).waitFor();
    expect(await page.evaluate('workers[0].calls')).toEqual(['pause', 'resume']);
  });

  it('says that a device without slices is a spare', async () => {
    const page = await openWorking();
    await computed(page, 40, 2);
    await page.clock.runFor(32_000);
    expect(await pill(page).textContent()).toBe('Spare');
    await page.getByRole('main').getByText('most likely because the other workers are faster').waitFor();
    await figure(page, 'Images/s').getByText('–').waitFor();
    expect(await violationsOn(page)).toEqual([]);
    await computed(page, 80, 1);
    expect(await pill(page).textContent()).toBe('Computing');
  });

  it('says that a device that has had no slices yet is waiting', async () => {
    const page = await openWorking();
    await page.clock.runFor(32_000);
    expect(await pill(page).textContent()).toBe('Waiting');
    await page.getByRole('main').getByText('the run may be waiting for more workers').waitFor();
    await computed(page, 0, 1);
    expect(await pill(page).textContent()).toBe('Computing');
  });

  it('counts down to the next attempt to reconnect', async () => {
    const page = await openWorking();
    await emit(page, 'reconnecting', { reason: 'the connection was closed', attempt: 1, delayMs: 4_000 });
    await page.getByText('Reconnecting in 4 s.').waitFor();
    await page.getByText(`Not connected to 127.0.0.1:${server.port}`).waitFor();
    await page.clock.runFor(2_000);
    await page.getByText('Reconnecting in 2 s.').waitFor();
    expect(await violationsOn(page)).toEqual([]);
    await page.clock.runFor(2_000);
    await page.getByText('Reconnecting now…').waitFor();
    await joined(page);
    expect(await pill(page).textContent()).toBe('Preparing');
  });

  it('says that the cache failed, and goes on', async () => {
    const page = await openWorking();
    await emit(page, 'cacheFailed', { message: 'the quota of 60 MB is exceeded' });
    await page.getByText('The quota of 60 MB is exceeded.').waitFor();
    await button(page, 'Details').click();
    await page.getByText('failed: nothing more is kept').waitFor();
    expect(await pill(page).textContent()).toBe('Preparing');
  });

  it('says that it measures', async () => {
    const page = await openWorking();
    await emit(page, 'measuring', { engines: ['wasm'] });
    expect(await pill(page).textContent()).toBe('Measuring');
    await page.getByRole('main').getByText('Measuring how fast this device computes with wasm.').waitFor();
  });

  it('announces changes of the status and tenths of the run, not every number', async () => {
    const page = await openWorking();
    await computed(page, 40, 1);
    expect(await status(page).textContent()).toBe('Computing.');
    await page.evaluate(`
      globalThis.announced = [];
      new MutationObserver(() => announced.push(document.querySelector('[role=status]').textContent.trim()))
        .observe(document.querySelector('[role=status]'), { subtree: true, childList: true, characterData: true });
    `);
    await computed(page, 97, 6);
    await button(page, 'Pause').click();
    expect(await page.evaluate('announced')).toEqual([
      'Computing. 10% of the run is done.',
      'Paused. This device has left the run until you continue. Other workers take over its slices. 10% of the run is done.',
    ]);
  });

  it('holds a Web Lock, and a wake lock while it is not paused', async () => {
    const page = await openLink();
    await page.evaluate(`
      globalThis.wakeLocks = 0;
      navigator.wakeLock.request = async () => (wakeLocks++, { release: async () => void wakeLocks-- });
    `);
    const locks = () => page.evaluate('navigator.locks.query().then(({ held }) => held.map(({ name }) => name))');
    const wakeLocks = () => page.evaluate('wakeLocks');
    expect([await locks(), await wakeLocks()]).toEqual([[], 0]);
    await button(page, 'Start computing').click();
    await expect.poll(async () => [await locks(), await wakeLocks()]).toEqual([['lockstep-join-tab-1'], 1]);
    await button(page, 'Pause').click();
    await expect.poll(async () => [await locks(), await wakeLocks()]).toEqual([['lockstep-join-tab-1'], 0]);
    await button(page, 'Continue').click();
    await expect.poll(wakeLocks).toBe(1);
    // Browsers release wake locks of hidden pages.
    await page.evaluate(`wakeLocks = 0; document.dispatchEvent(new Event('visibilitychange'))`);
    await expect.poll(wakeLocks).toBe(1);
    await button(page, 'Leave').click();
    await expect.poll(async () => [await locks(), await wakeLocks()]).toEqual([[], 0]);
  });
});

describe('after a reload', () => {
  it('continues without a click, paused if it was paused', async () => {
    const page = await openWorking();
    await computed(page, 40, 2);
    await page.reload();
    expect(await page.evaluate('localStorage.stopped')).toBe('its page was closed');
    expect(await page.evaluate('workers[0].options')).toEqual({ token });
    await figure(page, 'Slices').getByText('2', { exact: true }).waitFor();
    await joined(page);
    await button(page, 'Pause').click();
    await page.reload();
    expect(await page.evaluate('workers[0].calls')).toEqual(['pause']);
    expect(await pill(page).textContent()).toBe('Paused');
    await button(page, 'Continue').click();
    await button(page, 'Leave').click();
    await page.reload();
    expect(await buttonNames(page)).toEqual(['Start computing']);
  });

  it('continues only for the same link', async () => {
    const page = await openWorking();
    const other = token.replace(linkId, 'fedcba9876543210');
    await page.goto(`http://127.0.0.1:${server.port}/join#${other}`);
    await button(page, 'Start computing').waitFor();
    expect(await page.evaluate('workers.length')).toBe(0);
    // The reload may cancel requests of the first page, such as the one for its icon.
    watched.problems.splice(0);
  });
});

describe('after the work', () => {
  it('says that the run is finished, and what this device contributed', async () => {
    const page = await openWorking();
    await computed(page, 990, 10);
    await page.evaluate(`workers[0].end('the run has ended')`);
    await expect.poll(() => heading(page).textContent()).toBe('The run is finished');
    await page.getByText('This device computed 320 images in 10 slices, 0.3% of the run.').waitFor();
    expect(await page.getByRole('button').count()).toBe(0);
    expect(await page.title()).toBe('Done · Lockstep');
    expect(await violationsOn(page)).toEqual([]);
  });

  it('says why the coordinator ended the work', async () => {
    const page = await openWorking();
    await page.evaluate(`workers[0].end('dropped by ada')`);
    await page.getByText('Dropped by ada.').waitFor();
    await page.getByText('This device computed no slices.').waitFor();
    expect(await page.getByRole('button').count()).toBe(0);
  });

  it('says that the user left, and lets them join again', async () => {
    const page = await openWorking();
    await computed(page, 40, 1);
    await button(page, 'Leave').click();
    expect(await page.evaluate('workers[0].calls')).toEqual(['stop: its user left']);
    await expect.poll(() => heading(page).textContent()).toBe('You left the run');
    await expect.poll(() => focused(page)).toBe('You left the run');
    await button(page, 'Join again').click();
    expect(await page.evaluate('workers.length')).toBe(2);
  });

  it.each([
    [
      'refused',
      'fingerprint',
      'the run uses the tensorflow engine, but this worker offers wasm',
      'This run needs an engine that this browser does not have',
      'for a run with --engine wasm.',
    ],
    ['refused', 'token', 'the link was revoked', 'The link is not valid anymore', 'Ask whoever sent it for a new one.'],
    ['unreachable', undefined, 'ws://h could not be reached', 'The coordinator cannot be reached', 'Check the network'],
    ['engine-failed', undefined, 'out of memory', 'This device could not compute', 'close other tabs'],
    ['surprise', undefined, 'something else', 'This device had to stop', 'reload the page'],
  ])('explains a failure (%s %s: %s)', async (code, refusal, message, title, remedy) => {
    const page = await openWorking();
    await page.evaluate(`workers[0].fail(...${JSON.stringify([code, message, refusal ?? null])})`);
    await expect.poll(() => heading(page).textContent()).toBe(title);
    await page.getByText(remedy).waitFor();
    expect(await violationsOn(page)).toEqual([]);
  });
});

describe('on every device', () => {
  it.each([
    ['light', 320],
    ['dark', 320],
    ['dark', 1200],
  ] as const)('has no violations for axe-core and does not overflow: %s, %i pixels', async (colorScheme, width) => {
    const page = await openLink({ colorScheme, width });
    const check = async () => {
      expect(await violationsOn(page)).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
    };
    await button(page, 'Start computing').waitFor();
    expect(await page.evaluate('document.documentElement.dataset.theme')).toBe(colorScheme);
    await check();
    await button(page, 'Start computing').click();
    await check();
    await joined(page);
    await computed(page, 40, 3);
    await button(page, 'Details').click();
    await check();
    await button(page, 'Leave').click();
    await button(page, 'Join again').waitFor();
    await check();
  });

  it('can be used with the keyboard, with a visible focus', async () => {
    const page = await openLink();
    await button(page, 'Start computing').waitFor();
    await page.keyboard.press('Tab');
    expect(await focused(page)).toBe('Start computing');
    const isFocusSeen = `getComputedStyle(document.activeElement).outlineStyle !== 'none'`;
    expect(await page.evaluate(isFocusSeen)).toBe(true);
    await page.keyboard.press('Enter');
    await expect.poll(() => focused(page)).toBe('Training resnet20');
    for (const name of ['Details', 'Pause', 'Leave']) {
      await page.keyboard.press('Tab');
      expect(await focused(page)).toBe(name);
      expect(await page.evaluate(isFocusSeen)).toBe(true);
    }
  });
});
