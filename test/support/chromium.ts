// A headless Chromium for tests of pages, or the reason why there is none. On Debian: `apt-get install chromium`;
// LOCKSTEP_CHROMIUM names another one.
import { existsSync } from 'node:fs';
import axe from 'axe-core';
import { chromium, type Browser, type Page } from 'playwright-core';
import { sayWhySkipped } from './why-skipped.js';

const locations = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Without network access of its own. Playwright adds a temporary profile. */
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Opens a browser, which the caller must close, or returns the reason to skip. A browser that does not start is an error. */
export async function openChromiumOrReason(what: string): Promise<Browser | string> {
  const named = process.env['LOCKSTEP_CHROMIUM'];
  const executablePath = named ?? locations.find((location) => existsSync(location));
  if (executablePath === undefined) {
    const reason = `there is no Chromium at ${locations.join(', ')}, and LOCKSTEP_CHROMIUM is not set`;
    sayWhySkipped(what, reason);
    return reason;
  }
  return chromium.launch({ executablePath, args: flags });
}

/** A page and its problems. */
export interface WatchedPage {
  page: Page;
  /** Errors and warnings on the console, uncaught exceptions, and failed requests. */
  problems: string[];
  /** The URLs of all requests, including the page itself. */
  requests: string[];
}

/** Opens an empty page of this size in its own context. Close it with `page.context().close()`. */
export async function openPage(
  browser: Browser,
  options: { width: number; height: number; colorScheme?: 'light' | 'dark'; ignoreHTTPSErrors?: boolean },
): Promise<WatchedPage> {
  const { width, height, colorScheme = 'light', ignoreHTTPSErrors = false } = options;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, ignoreHTTPSErrors });
  // Longer than the timeout of any test, which then ends a hanging one.
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

/** The accessibility violations that axe-core finds: their ids and elements. */
export async function violationsOn(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = await page.evaluate('axe.run()');
  const { violations } = found as axe.AxeResults;
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}
