// Tokens in the browser: what the page shows to each role, from another address and from this machine.
import { writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openChromiumOrReason, openPage, violationsOn, type WatchedPage } from '../support/chromium.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { startCluster, type Cluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
const tokens = {
  worker: 'c2d5a1f09b7e4d38a1b2',
  viewer: '5b9d1c7e3f024a86aa55',
  operator: '0f5e6d7c8b9a41526374',
} as const;

/** Returns an address at which other machines reach this one or, without a network, another loopback address. */
function otherAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((of) => of ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.2';
}

let browser: Browser | string;
beforeAll(async () => {
  browser = await openChromiumOrReason('tokens in a browser');
});
beforeEach((context) => {
  if (typeof browser === 'string') context.skip(browser);
});
afterAll(async () => {
  if (typeof browser !== 'string') await browser.close();
});

const logInWith = async (page: Page, token: string) => {
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Log in', exact: true }).last().click();
};
const header = (page: Page, text: string) => page.locator('header').getByText(text, { exact: true });
const buttonsOf = (page: Page) => page.getByRole('group', { name: 'Controls' }).getByRole('button');

/** Code that turns a fetch() into its status. It reads the body, because an unread one counts as a failed request. */
const statusOfAnswer = '.then((answer) => answer.text().then(() => answer.status))';

/** Starts a run with one worker. The run has so many steps that it lasts until the test ends. */
async function startRun(host: string): Promise<Cluster> {
  const tokenFile = inFolder(`tokens-for-${host}`);
  const lines = Object.entries(tokens).map(([role, token]) => `${role}s-own ${role} ${token}\n`);
  await writeFile(tokenFile, lines.join(''));
  const cluster = await startCluster({ host, tokenFile, steps: 1_000_000, validationSplit: 0, tensorboard: false });
  // Longer steps leave CPU time for the browser.
  const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 20));
  await cluster.join({ name: 'attic', token: tokens.worker, engine: fakeEngine({ beforeSlice: pause }) });
  return cluster;
}

describe('from another address', { timeout: 60_000 }, () => {
  let cluster: Cluster;
  let watched: WatchedPage;
  beforeAll(async () => {
    if (typeof browser === 'string') return;
    cluster = await startRun('0.0.0.0');
    watched = await openPage(browser, { width: 1000, height: 800 });
    await watched.page.goto(`http://${otherAddress()}:${cluster.coordinator.port}`);
  });
  afterAll(async () => {
    if (typeof browser === 'string') return;
    await cluster.close();
  });

  it('nothing is shown without a token that grants read access', async () => {
    const { page } = watched;
    await page.getByText('Log in with a token to see this run.').waitFor();
    expect(await violationsOn(page)).toEqual([]);
    await logInWith(page, 'wrong-token-wrong-token');
    await page.getByRole('alert').getByText('unknown token.').waitFor();
    await logInWith(page, tokens.worker);
    await page.getByRole('alert').getByText('workers-own has the role worker, which may not read.').waitFor();
    expect(await page.locator('header').count()).toBe(0);
    expect(await page.evaluate(`fetch('status')${statusOfAnswer}`)).toBe(401);
  });

  it("a viewer's token shows the run without buttons, also after a reload", async () => {
    const { page } = watched;
    await logInWith(page, tokens.viewer);
    await header(page, 'Training').waitFor();
    await page.getByRole('row', { name: /^attic/ }).waitFor();
    await page.reload();
    await header(page, 'Training').waitFor();
    await page.getByRole('button', { name: 'Log out viewers-own' }).waitFor();
    expect(await buttonsOf(page).count()).toBe(0);
    expect(await page.getByRole('button', { name: /^Drop/ }).count()).toBe(0);
    // The coordinator also refuses requests for which the page shows no button.
    const body = JSON.stringify({ action: 'pause' });
    const asked = `fetch('control', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '${body}' })`;
    expect(await page.evaluate(asked + statusOfAnswer)).toBe(403);
    // Scripts cannot read the token.
    expect(await page.evaluate('[document.cookie, localStorage.length, sessionStorage.length]')).toEqual(['', 0, 0]);
  });

  it("an operator's token shows buttons that work, until logging out", async () => {
    const { page, problems } = watched;
    await page.getByRole('button', { name: 'Log out viewers-own' }).click();
    await logInWith(page, tokens.operator);
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await header(page, 'Paused').waitFor();
    await page.getByRole('log').getByText('by operators-own').waitFor();
    expect(cluster.coordinator.status().run.phase).toBe('paused');
    expect(await buttonsOf(page).allTextContents()).toEqual(['Continue', 'Checkpoint', 'Stop…']);
    await page.getByRole('button', { name: 'Log out operators-own' }).click();
    await page.getByText('Log in with a token to see this run.').waitFor();
    // Chromium logs the refused requests. There must be no other problems.
    const others = problems.filter((problem) => !/the server responded with a status of 40[13] /.test(problem));
    expect(others).toEqual([]);
  });
});

it('from this machine the run is shown without a token, and the buttons with an operator’s token', async () => {
  const cluster = await startRun('127.0.0.1');
  try {
    const { page } = await openPage(browser as Browser, { width: 1000, height: 800 });
    await page.goto(cluster.coordinator.dashboardUrl!);
    await header(page, 'Training').waitFor();
    expect(await buttonsOf(page).count()).toBe(0);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByText("An operator's token lets you pause").waitFor();
    expect(await violationsOn(page)).toEqual([]);
    await logInWith(page, 'wrong-token-wrong-token');
    await page.getByRole('alert').getByText('unknown token.').waitFor();
    await logInWith(page, tokens.operator);
    await page.getByRole('button', { name: 'Pause', exact: true }).waitFor();
    expect(await page.getByRole('dialog').count()).toBe(0);
  } finally {
    await cluster.close();
  }
}, 60_000);
