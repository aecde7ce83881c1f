// A headless Firefox for page tests, or the reason why none is available. On Debian, run `apt-get install firefox-esr`.
// LOCKSTEP_FIREFOX sets the path of another Firefox.
import { existsSync } from 'node:fs';
import { launch, type Browser } from 'puppeteer-core';
import { sayWhySkipped } from './why-skipped.js';

const locations = ['/usr/bin/firefox-esr', '/usr/bin/firefox'];

/**
 * Opens a browser with a temporary profile, which the caller must close. Returns the reason to skip if none is installed;
 * throws if it does not start.
 * @param preferences values of `about:config` in addition to those that Puppeteer sets for tests
 * @param environment variables in addition to those of this process
 */
export async function openFirefoxOrReason(
  what: string,
  preferences: Readonly<Record<string, string | number | boolean>> = {},
  ignoreCertificateErrors = false,
  environment: Readonly<Record<string, string>> = {},
): Promise<Browser | string> {
  const named = process.env['LOCKSTEP_FIREFOX'];
  const executablePath = named ?? locations.find((location) => existsSync(location));
  if (executablePath === undefined) {
    const reason = `there is no Firefox at ${locations.join(', ')}, and LOCKSTEP_FIREFOX is not set`;
    sayWhySkipped(what, reason);
    return reason;
  }
  return launch({
    browser: 'firefox',
    executablePath,
    extraPrefsFirefox: preferences,
    acceptInsecureCerts: ignoreCertificateErrors,
    env: { ...process.env, ...environment },
  });
}
