// Checks that problems in a page are detected, which all page tests rely on.
import { expect, it, onTestFinished } from 'vitest';
import { openChromiumOrReason, openPage } from './chromium.js';

it('errors, warnings, exceptions and requests of a page are recorded', async (context) => {
  const browser = await openChromiumOrReason('the browser’s own test');
  if (typeof browser === 'string') {
    context.skip(browser);
    return;
  }
  onTestFinished(() => browser.close());
  const { page, problems, requests } = await openPage(browser, { width: 300, height: 200 });
  // Browsers block port 9, so this request fails.
  await page.setContent(`
    <script>console.error('an error'); console.warn('a warning'); console.log('talk')</script>
    <script>throw new Error('an exception')</script>
    <img src="http://127.0.0.1:9/" alt="" onerror="document.title = 'over'">`);
  await page.waitForFunction(`document.title === 'over'`);
  expect(problems).toEqual(expect.arrayContaining(['an error', 'a warning', 'an exception']));
  expect(problems).toContain('http://127.0.0.1:9/: net::ERR_UNSAFE_PORT');
  expect(problems.join(' ')).not.toContain('talk');
  expect(requests).toEqual(['http://127.0.0.1:9/']);
});
