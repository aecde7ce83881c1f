// The dashboard's panel of the join link: what operators see and do there, and that nobody else sees it.
import { writeFile } from 'node:fs/promises';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import { openChromiumOrReason, openPage, violationsOn, type WatchedPage } from '../support/chromium.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { startCluster, type Cluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
/** An engine that a run with a join link accepts. */
const engine = { ...fakeEngine(), identity: { engine: 'wasm', fingerprint: 'wasm/1', device: 'a fake device' } };

let browser: Browser | string;
let cluster: Cluster;
let watched: WatchedPage;

beforeAll(async () => {
  browser = await openChromiumOrReason('the join link on the dashboard');
});
beforeEach((context) => {
  if (typeof browser === 'string') context.skip(browser);
});
afterEach(async () => {
  if (typeof browser === 'string') return;
  const { page, problems } = watched;
  await page.context().close();
  await cluster.close();
  if (problems.length > 0) throw new Error(problems.join('\n'));
});
afterAll(async () => {
  if (typeof browser !== 'string') await browser.close();
});

/** Opens the dashboard of a run that waits for two workers. */
async function openDashboard(options: CoordinatorOptions): Promise<void> {
  cluster = await startCluster({ minWorkers: 2, tensorboard: false, ...options });
  watched = await openPage(browser as Browser, { width: 1000, height: 900 });
  await watched.page.goto(cluster.coordinator.dashboardUrl!);
  await watched.page.locator('header').getByText('Waiting for workers', { exact: true }).waitFor();
}

const panel = () => watched.page.getByRole('region', { name: 'Join link' });
const button = (name: string) => panel().getByRole('button', { name, exact: true });

it('shows operators the link with its QR code and its workers, and copies it', async () => {
  await openDashboard({ joinLink: { maxWorkers: 7, expiresMs: 3_600_000 } });
  const { url } = cluster.coordinator.joinLink()!;
  expect(await panel().getByLabel('Link', { exact: true }).inputValue()).toBe(url);
  await panel().getByRole('img', { name: 'QR code of the join link' }).waitFor();
  await expect
    .poll(() => watched.page.evaluate('document.querySelector(".join-link img").naturalWidth > 0'))
    .toBe(true);
  await panel().getByText('0 of 7 workers').waitFor();
  await cluster.join({ engine, token: new URL(url).hash.slice(1) });
  await panel().getByText('1 of 7 workers').waitFor();

  const { page } = watched;
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await button('Copy').click();
  await page.getByRole('status').getByText('The link was copied.').waitFor();
  expect(await page.evaluate('navigator.clipboard.readText()')).toBe(url);

  expect(await violationsOn(page)).toEqual([]);
  await page.getByRole('button', { name: 'Dark theme' }).click();
  await page.setViewportSize({ width: 320, height: 800 });
  expect(await violationsOn(page)).toEqual([]);
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
});

it('revokes the link after a confirmation, and creates another one', async () => {
  await openDashboard({ joinLink: true });
  const { url } = cluster.coordinator.joinLink()!;
  const { done } = await cluster.join({ engine, token: new URL(url).hash.slice(1) });
  await panel().getByText(/^1 of/).waitFor();
  const { page } = watched;
  await button('Revoke…').click();
  await page.getByRole('dialog').getByText('workers that joined with it are disconnected').waitFor();
  expect(await violationsOn(page)).toEqual([]);
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  expect(cluster.coordinator.joinLink()).not.toBeNull();
  await button('Revoke…').click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke the link' }).click();
  await panel().getByText('There is no join link').waitFor();
  expect((await done).reason).toMatch(/^the join link was revoked/);
  await page.getByRole('log').getByText('Join link revoked').waitFor();
  expect(await violationsOn(page)).toEqual([]);

  await button('Create a link').click();
  await panel().getByText(/^0 of/).waitFor();
  const another = cluster.coordinator.joinLink()!.url;
  expect(another).not.toBe(url);
  expect(await panel().getByLabel('Link', { exact: true }).inputValue()).toBe(another);
  await page.getByRole('log').getByText('Join link created').waitFor();
});

it('selects the link where the browser has no clipboard', async () => {
  await openDashboard({ joinLink: true });
  const { page } = watched;
  await button('Copy').waitFor();
  await page.evaluate(`Object.defineProperty(navigator, 'clipboard', { value: undefined })`);
  await button('Copy').click();
  await page.getByRole('status').getByText('Copy the selected link').waitFor();
  expect(await page.evaluate('getSelection().toString()')).toBe(cluster.coordinator.joinLink()!.url);
});

it('is not shown without join links', async () => {
  await openDashboard({});
  expect(await panel().count()).toBe(0);
  expect(watched.requests.filter((url) => url.endsWith('/join-link'))).toEqual([]);
});

it('is not shown to users who may not operate the run', async () => {
  const tokenFile = inFolder('tokens');
  await writeFile(tokenFile, 'ada operator 0f5e6d7c8b9a41526374\n');
  await openDashboard({ joinLink: true, tokenFile });
  expect(await panel().count()).toBe(0);
  const { page } = watched;
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByLabel('Token').fill('0f5e6d7c8b9a41526374');
  await page.getByRole('button', { name: 'Log in', exact: true }).last().click();
  await panel().waitFor();
  await page.getByRole('button', { name: 'Log out ada' }).click();
  await panel().waitFor({ state: 'detached' });
  expect(await page.content()).not.toContain(cluster.coordinator.joinLink()!.url.split('#')[1]);
});
