// The dashboard in a browser, for a run with real worker processes, one of which is killed; and the operator's buttons.
import type { Browser, Page, WebSocketRoute } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sliceRanges } from '../../web/dashboard/wording.js';
import { openChromiumOrReason, openPage, violationsOn, type WatchedPage } from '../support/chromium.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { startFaulted, type FaultedCluster, type FaultedWorker } from '../support/faulted-cluster.js';

/** Returns the first and last values from the loss chart's summary. */
async function trainingLosses(page: Page): Promise<{ first: number; last: number }> {
  const summary = await page.getByText(/^Loss\. training/).textContent();
  const [, first, last] = /training[^:]*: ([\d.]+) at step [\d,]+, ([\d.]+) at step/.exec(summary ?? '') ?? [];
  return { first: Number(first), last: Number(last) };
}

/** Number of steps after which the run is paused. */
const heldAfter = 30;

describe('the dashboard', () => {
  let browser: Browser | string;
  let cluster: FaultedCluster;
  const workers = new Map<string, FaultedWorker>();
  let victim: string;
  let watched: WatchedPage;
  /** Sends an operator's request directly, without using the page. */
  async function operate(action: string): Promise<void> {
    const { status } = await fetch(`${cluster.coordinator.dashboardUrl}/control`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ action }),
    });
    expect(status).toBe(200);
  }

  const button = (name: string) => watched.page.getByRole('button', { name, exact: true });
  const rowOf = (name: string) => watched.page.getByRole('row', { name: new RegExp(`^${name}`) });

  beforeAll(async () => {
    browser = await openChromiumOrReason('the dashboard in a browser');
    if (typeof browser === 'string') return;
    // There are two slices and three workers, so one worker is spare.
    cluster = await startFaulted({
      dataset: synthesizeDataset({ trainingImages: 4_000, testImages: 300 }),
      minWorkers: 3,
      slices: 2,
      batchSize: 64,
      steps: 10_000,
      learningRate: 0.02,
      keepCheckpoints: 2,
      replicas: 3,
      // No worker counts as a straggler, however busy the machine is.
      stragglerFactor: 0,
      heartbeatTimeout: 60,
    });
    // The run is paused early so that the spare worker remains spare until a worker is killed. In the step after the
    // pause, workers with a slice wait for permission to continue, so they are busy and the spare one is idle.
    for (const name of ['ada', 'grace', 'linus'])
      workers.set(name, await cluster.startAnnouncing(name, heldAfter, 20_000));
    cluster.coordinator.events.on('step', ({ step }) => {
      if (step === heldAfter) void operate('pause');
    });
    watched = await openPage(browser, { width: 1360, height: 900 });
    await watched.page.goto(cluster.coordinator.dashboardUrl!);
  });

  beforeEach((context) => {
    if (typeof browser === 'string') context.skip(browser);
  });

  afterAll(async () => {
    if (typeof browser === 'string') return;
    cluster.coordinator.stop();
    await Promise.allSettled([cluster.finish()]);
    await browser.close();
  });

  it('shows a run live: falling loss, a lost worker, its slices reassigned to the spare, without a reload', async () => {
    const { page } = watched;
    const table = page.getByRole('table', { name: /Connected and lost workers/ });
    await expect.poll(() => table.getByRole('row').count()).toBe(4);
    await page.locator('header').getByText('Paused', { exact: true }).waitFor();
    // The spare worker already holds replicas of the shards that it will need.
    const spareRow = page.getByRole('row').filter({ has: page.getByText('spare', { exact: true }) });
    await spareRow.getByText('shards 0–1').waitFor();
    const connected = cluster.coordinator.status().workers;
    const spare = connected.find(({ slices }) => slices.length === 0)!.name;
    const { name, slices: held } = connected.find(({ slices }) => slices.length > 0)!;
    victim = name;
    const { last: before } = await trainingLosses(page);
    const worker = workers.get(victim)!;
    worker.onceAt(
      ({ direction, message, point }) => direction === 'down' && message.type === 'compute' && point === 'end',
      () => worker.child.kill('SIGKILL'),
    );
    await button('Continue').click();
    const log = page.getByRole('log');
    await log.getByText('Worker lost').waitFor();
    for (const { child } of [...workers.values()].filter((other) => other !== worker)) child.send('continue');
    await log.getByText('Slices reassigned').waitFor();
    const recovery = page.getByText(/ left before answering slices? .* computed slices? .* instead/);
    const slices = `${held.length === 1 ? 'slice' : 'slices'} ${sliceRanges(held)}`;
    expect(await recovery.textContent()).toContain(
      `${victim} left before answering ${slices}; ${spare} computed ${slices} instead.`,
    );
    await rowOf(victim).getByText('lost', { exact: true }).waitFor();
    await expect.poll(async () => (await trainingLosses(page)).last).toBeLessThan(before - 0.1);
    const { first, last } = await trainingLosses(page);
    expect(last).toBeLessThan(first);
  });

  it('pauses and saves the run', async () => {
    const { page } = watched;
    await button('Pause').click();
    await page.locator('header').getByText('Paused', { exact: true }).waitFor();
    const pausedAt = await page.getByText(/^Step [\d,]+ of/).textContent();
    await button('Checkpoint').click();
    await page.getByRole('log').getByText('Checkpoint requested').waitFor();
    await page.getByRole('log').getByText('Checkpoint saved').first().waitFor();
    expect(await page.getByText(/^Step [\d,]+ of/).textContent()).toBe(pausedAt);
  });

  it('has no violations for axe-core, light and dark, wide and narrow', async () => {
    const { page } = watched;
    expect(await violationsOn(page)).toEqual([]);
    await page.getByRole('button', { name: 'Dark theme' }).click();
    expect(await page.evaluate('document.documentElement.dataset.theme')).toBe('dark');
    expect(await violationsOn(page)).toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await violationsOn(page)).toEqual([]);
    // Nothing overflows horizontally.
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
    await page.setViewportSize({ width: 1360, height: 900 });
  });

  it('shows the history on a page opened later, and when the connection is lost and restored', async () => {
    const late = await openPage(browser as Browser, { width: 390, height: 844, colorScheme: 'dark' });
    const links: WebSocketRoute[] = [];
    let letThrough: () => void = () => undefined;
    await late.page.routeWebSocket(/\/watch$/, async (link) => {
      links.push(link);
      // The second connection is delayed until the test has seen the page disconnected.
      if (links.length > 1) await new Promise<void>((resolve) => (letThrough = resolve));
      link.connectToServer();
    });
    await late.page.goto(cluster.coordinator.dashboardUrl!);
    await late.page.getByRole('log').getByText('Worker lost').waitFor();
    const { first } = await trainingLosses(late.page);
    expect(first).toBeGreaterThan(0);
    expect(await violationsOn(late.page)).toEqual([]);
    await links[0].close();
    await late.page.getByText('Connection lost.').waitFor();
    await expect.poll(() => links.length).toBe(2);
    letThrough();
    await late.page.getByText('Connection lost.').waitFor({ state: 'detached' });
    await late.page.locator('header').getByText('Paused', { exact: true }).waitFor();
    expect(late.problems).toEqual([]);
    await late.page.context().close();
  });

  it('can be used with the keyboard, with a visible focus', async () => {
    const { page, problems } = await openPage(browser as Browser, { width: 1360, height: 900 });
    await page.goto(cluster.coordinator.dashboardUrl!);
    await page.getByRole('table', { name: /Connected and lost workers/ }).waitFor();
    /** Returns the focused element's name and whether its focus indicator is visible. */
    const focused = async () =>
      (await page.evaluate(`(() => {
        const element = document.activeElement;
        const name = element.getAttribute('aria-label') ?? element.textContent.trim();
        const isSeen = getComputedStyle(element).outlineStyle !== 'none';
        return { name: element === document.body ? '' : name, isSeen };
      })()`)) as { name: string; isSeen: boolean };
    const reached: { name: string; isSeen: boolean }[] = [];
    do {
      await page.keyboard.press('Tab');
      reached.push(await focused());
    } while (reached.at(-1)!.name !== '');
    const stops = reached.slice(0, -1);
    expect(stops.filter(({ isSeen }) => !isSeen)).toEqual([]);
    const names = stops.map(({ name }) => name);
    expect(names.slice(0, 4)).toEqual(['Skip to content', 'Continue', 'Checkpoint', 'Stop…']);
    expect(names.filter((name) => /, \d+ lines?\. Arrow keys/.test(name))).toHaveLength(4);
    expect(names.filter((name) => name.startsWith('Show as table'))).toHaveLength(4);
    const connected = [...workers.keys()].filter((name) => name !== victim);
    expect(names.slice(-2)).toEqual(expect.arrayContaining(connected.map((name) => `Drop ${name}`)));
    // The dialog initially focuses the button that cancels, and restores the previous focus when it closes.
    await page.getByRole('button', { name: 'Stop…' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    expect((await focused()).name).toBe('Cancel');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    expect((await focused()).name).toBe('Stop…');
    expect(await page.title()).toMatch(/^Paused \d+% · run · Lockstep$/);
    expect(problems).toEqual([]);
    await page.context().close();
  });

  it('continues, drops a worker and stops, with a confirmation for actions that cannot be undone', async () => {
    const { page, problems, requests } = watched;
    await button('Continue').click();
    await page.getByText('Training', { exact: true }).waitFor();
    await button('Stop…').click();
    await button('Cancel').click();
    const dropped = [...workers.keys()].find((name) => name !== victim)!;
    await button(`Drop ${dropped}`).click();
    expect(await violationsOn(page)).toEqual([]);
    await page
      .getByRole('dialog')
      .getByRole('button', { name: `Drop ${dropped}` })
      .click();
    await page.getByRole('log').getByText('Worker dropped').waitFor();
    await rowOf(dropped).getByText('lost', { exact: true }).waitFor();
    await button('Stop…').click();
    await button('Stop the run').click();
    await page.getByText('Interrupted', { exact: true }).waitFor();
    await expect(cluster.coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
    expect(problems).toEqual([]);
    const hosts = new Set(requests.map((url) => new URL(url).host));
    expect([...hosts]).toEqual([new URL(cluster.coordinator.dashboardUrl!).host]);
  });
});
