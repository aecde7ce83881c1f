// A headless Chromium for tests of what a person opens in a browser, or why there is none. Debian's: `apt-get install
// chromium`. Another one is named by LOCKSTEP_CHROMIUM.
import { existsSync } from 'node:fs';
import axe from 'axe-core';
import { chromium, type Browser, type Page } from 'playwright-core';
import { sayWhySkipped } from './why-skipped.js';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Nothing that would reach for the network by itself; playwright adds a profile of its own that is removed at the end. */
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser, to be closed by the caller, or the reason with which to skip. A browser that does not start is no reason. */
export async function openChromiumOrReason(what: string): Promise<Browser | string> {
  const named = process.env['LOCKSTEP_CHROMIUM'];
  const executablePath = named ?? places.find((place) => existsSync(place));
  if (executablePath === undefined) {
    const reason = `there is no Chromium at ${places.join(', ')}, and LOCKSTEP_CHROMIUM names none`;
    sayWhySkipped(what, reason);
    return reason;
  }
  return chromium.launch({ executablePath, args: flags });
}

/** A page, and all that a test would not want to see of it. */
export interface WatchedPage {
  page: Page;
  /** Errors and warnings of the console, uncaught exceptions, and requests that failed. */
  problems: string[];
  /** The URL of everything that was asked for, the page itself included. */
  requests: string[];
}

/** An empty page of this size in a context of its own; to be closed with `page.context().close()`. */
export async function openPage(
  browser: Browser,
  options: { width: number; height: number; colorScheme?: 'light' | 'dark'; ignoreHTTPSErrors?: boolean },
): Promise<WatchedPage> {
  const { width, height, colorScheme = 'light', ignoreHTTPSErrors = false } = options;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, ignoreHTTPSErrors });
  // What a page is waited for may take: the test's own limit ends what hangs.
  context.setDefaultTimeout(300_000);
  const page = await context.newPage();
  const problems: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('requestfailed', (request) => problems.push(`${request.url()}: ${request.failure()?.errorText ?? 'failed'}`));
  page.on('request', (request) => requests.push(request.url()));
  return { page, problems, requests };
}

/** Nothing that axe-core knows to be wrong; else what it is, and where. */
export async function violationsOn(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = await page.evaluate('axe.run()');
  const { violations } = found as axe.AxeResults;
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}
