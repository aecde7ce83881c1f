// What a tab showed when its test failed.
import { onTestFailed } from 'vitest';
import type { BrowserName, Tab } from './browsers.js';

/** Prints the text of the tab's page if the current test fails. */
export function printIfFailed(name: BrowserName, tab: Tab): void {
  onTestFailed(async () => {
    const text = await tab.evaluate<string>('document.body.innerText');
    process.stderr.write(`${name} shows: ${text}\n`);
  });
}
