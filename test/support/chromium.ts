// A headless Chromium, driven by Playwright, for page tests, or the reason why none is available. On Debian, run `apt-get install chromium`.
// LOCKSTEP_CHROMIUM sets the path of another Chromium.
import { existsSync } from 'node:fs';
import axe from 'axe-core';
import { chromium, type Browser, type Page } from 'playwright-core';
import { sayWhySkipped } from './why-skipped.js';

const locations = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Arguments that keep Chromium from sending requests of its own. Playwright adds a temporary profile. */
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Returns how to start the browser; the reason to skip if none is installed. */
export function chromiumOrReason(what: string): { executablePath: string; args: string[] } | string {
  const named = process.env['LOCKSTEP_CHROMIUM'];
  const executablePath = named ?? locations.find((location) => existsSync(location));
  if (executablePath !== undefined) return { executablePath, args: [...flags] };
  const reason = `there is no Chromium at ${locations.join(', ')}, and LOCKSTEP_CHROMIUM is not set`;
  sayWhySkipped(what, reason);
  return reason;
}

/**
 * Opens a browser, which the caller must close. Returns the reason to skip if none is installed; throws if it does not
 * start.
 * @param moreFlags command-line arguments in addition to those that every test uses
 */
export async function openChromiumOrReason(what: string, moreFlags: readonly string[] = []): Promise<Browser | string> {
  const found = chromiumOrReason(what);
  if (typeof found === 'string') return found;
  return chromium.launch({ ...found, args: [...found.args, ...moreFlags] });
}

/** A page with the problems and requests recorded in it. */
export interface WatchedPage {
  page: Page;
  /** Errors and warnings on the console, uncaught exceptions, and failed requests. */
  problems: string[];
  /** URLs of all requests, including the one for the page itself. */
  requests: string[];
}

/** Opens an empty page of the given size in a new browser context. Close it with `page.context().close()`. */
export async function openPage(
  browser: Browser,
  options: { width: number; height: number; colorScheme?: 'light' | 'dark'; ignoreHTTPSErrors?: boolean },
): Promise<WatchedPage> {
  const { width, height, colorScheme = 'light', ignoreHTTPSErrors = false } = options;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, ignoreHTTPSErrors });
  // Longer than any test's timeout, so that Vitest ends a test that hangs.
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

/** Returns the accessibility violations that axe-core finds, with their ids and elements. */
export async function violationsOn(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = await page.evaluate('axe.run()');
  const { violations } = found as axe.AxeResults;
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}
