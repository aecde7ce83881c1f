// Checks in both browsers what tests of pages rely on.
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { browserNames, openBrowserOrReason, type Tab, type TestBrowser } from './browsers.js';
import { isolationHeaders, servePrograms, type ServedPrograms } from './served-programs.js';

const page = `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Test</title>
<button id="count">0 clicks</button><p>loaded</p>
<script type="module" src="/page.js"></script></html>`;
const script = `
let clicks = 0;
document.querySelector('#count').onclick = ({ target }) => { target.textContent = ++clicks + ' clicks'; };
if (location.search === '?faulty') {
  console.error('an error'); console.warn('a warning'); console.log('talk');
  // The server does not speak TLS, so this request fails.
  document.body.append(Object.assign(new Image(), { src: 'https://' + location.host }));
  throw new Error('an exception');
}`;

describe.each(browserNames)('%s, as tests use it,', (name) => {
  let browser: TestBrowser | string;
  let served: ServedPrograms;

  beforeAll(async () => {
    const headers = {
      ...isolationHeaders,
      'content-security-policy': "default-src 'self'; img-src https: data:; script-src 'self'",
    };
    served = await servePrograms({}, { routes: { '/page.html': page, '/page.js': script }, headers });
    browser = await openBrowserOrReason(name, 'the support for browsers');
  });
  beforeEach((context) => {
    if (typeof browser === 'string') context.skip(browser);
  });
  afterAll(async () => {
    await served.close();
    if (typeof browser !== 'string') await browser.close();
  });

  async function openTab(): Promise<Tab> {
    const tab = await (browser as TestBrowser).openTab();
    onTestFinished(() => tab.close());
    return tab;
  }

  it('shows a page with a strict policy, clicks, and reloads', async () => {
    const tab = await openTab();
    await tab.goto(`${served.url}page.html`);
    await tab.waitForText('loaded');
    await tab.click('#count');
    await tab.waitForText(/^1 clicks$/m);
    await tab.reload();
    await tab.waitForText('0 clicks');
    expect(await tab.evaluate('Promise.resolve(crossOriginIsolated)')).toBe(true);
    expect(tab.problems).toEqual([]);
  });

  it('records errors, warnings, exceptions and failed requests', async () => {
    const tab = await openTab();
    await tab.goto(`${served.url}page.html?faulty`);
    const failedRequest = expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+\/: /);
    await expect
      .poll(() => tab.problems)
      .toEqual(
        expect.arrayContaining(['an error', 'a warning', expect.stringMatching(/an exception$/), failedRequest]),
      );
    expect(tab.problems.join(' ')).not.toContain('talk');
  });

  it('shares storage between tabs', async () => {
    const [tab, other] = [await openTab(), await openTab()];
    await tab.goto(served.url);
    await other.goto(served.url);
    await tab.evaluate(`localStorage.setItem('key', 'shared')`);
    expect(await other.evaluate(`localStorage.getItem('key')`)).toBe('shared');
  });
});
