// Chromium and Firefox behind one small interface, for tests of pages that must work in both. Puppeteer drives them,
// because Playwright cannot drive Debian's Firefox, and keeps all pages of Chromium visible.
import { launch, type Browser, type CDPSession } from 'puppeteer-core';
import { messageOf } from '../../shared/errors.js';
import { chromiumOrReason } from './chromium.js';
import { openFirefoxOrReason } from './firefox.js';

export const browserNames = ['Chromium', 'Firefox'] as const;
export type BrowserName = (typeof browserNames)[number];

export interface TestBrowser {
  /** Opens an empty tab. The tabs of a browser share its storage. */
  openTab(): Promise<Tab>;
  /** Crashes the process that uses the GPU, so that pages lose their devices. Firefox does not have it. */
  crashGpuProcess?: () => Promise<void>;
  close(): Promise<void>;
}

export interface Tab {
  /** Errors and warnings on the console, uncaught exceptions, and failed requests. */
  readonly problems: string[];
  goto(url: string): Promise<void>;
  reload(): Promise<void>;
  /** Returns the value of an expression, or what its promise resolves to. */
  evaluate<Value>(expression: string): Promise<Value>;
  /**
   * Clicks an element by a script. A click with the mouse would wait for a frame, which hidden tabs never draw, and visible
   * ones of Firefox not always.
   */
  click(selector: string): Promise<void>;
  /** Shows this tab, which hides the others. */
  show(): Promise<void>;
  /** Waits until the page shows this text. */
  waitForText(text: string | RegExp): Promise<void>;
  /** The Chrome DevTools Protocol, which Firefox does not have. */
  devTools?: CDPSession;
  close(): Promise<void>;
}

export interface BrowserOptions {
  /** Values of `about:config`. */
  firefoxPreferences?: Readonly<Record<string, string | number | boolean>>;
  /** A host name that resolves to 127.0.0.1. Browsers do not trust it as they trust loopback addresses. */
  namedHost?: string;
  ignoreCertificateErrors?: boolean;
  /** Whether pages have WebGPU, with this environment for Firefox to find a driver. Chromium has one of its own. */
  webGpu?: Readonly<Record<string, string>>;
}

/** Opens a browser, which the caller must close. Returns the reason to skip if it is not installed. */
export async function openBrowserOrReason(
  name: BrowserName,
  what: string,
  options: BrowserOptions = {},
): Promise<TestBrowser | string> {
  const browser = await launchOrReason(name, `${what} in ${name}`, options);
  if (typeof browser === 'string') return browser;
  return {
    openTab: () => openTab(name, browser),
    ...(name === 'Chromium' && {
      crashGpuProcess: async () => {
        const session = await browser.target().createCDPSession();
        await session.send('Browser.crashGpuProcess');
        await session.detach();
      },
    }),
    close: () => browser.close(),
  };
}

async function launchOrReason(
  name: BrowserName,
  what: string,
  { firefoxPreferences, namedHost, ignoreCertificateErrors = false, webGpu }: BrowserOptions,
): Promise<Browser | string> {
  if (name === 'Firefox') {
    const names = namedHost === undefined ? {} : { 'network.dns.localDomains': namedHost };
    const gpu = webGpu === undefined ? {} : { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true };
    return openFirefoxOrReason(what, { ...firefoxPreferences, ...names, ...gpu }, ignoreCertificateErrors, webGpu);
  }
  const found = chromiumOrReason(what);
  if (typeof found === 'string') return found;
  const { executablePath, args } = found;
  const names = namedHost === undefined ? [] : [`--host-resolver-rules=MAP ${namedHost} 127.0.0.1`];
  const all =
    webGpu === undefined ? args : [...args.filter((arg) => arg !== '--disable-gpu'), '--enable-unsafe-webgpu'];
  return launch({ executablePath, args: [...all, ...names], acceptInsecureCerts: ignoreCertificateErrors });
}

async function openTab(name: BrowserName, browser: Browser): Promise<Tab> {
  const page = await browser.newPage();
  // No limits, so that Vitest ends a test that hangs.
  page.setDefaultTimeout(0);
  const problems: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warn') problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(messageOf(error)));
  page.on('requestfailed', (request) => {
    problems.push(`${request.url()}: ${request.failure()?.errorText ?? 'failed'}`);
  });
  const evaluate = async <Value>(expression: string) => (await page.evaluate(expression)) as Value;
  return {
    problems,
    goto: async (url) => void (await page.goto(url)),
    reload: async () => void (await page.reload()),
    evaluate,
    click: (selector) => evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`),
    show: () => page.bringToFront(),
    // Hidden pages draw no frames, at which the expression would be evaluated otherwise.
    waitForText: async (text) => void (await page.waitForFunction(showsText(text), { polling: 50 })),
    ...(name === 'Chromium' && { devTools: await page.createCDPSession() }),
    close: () => page.close(),
  };
}

/** Returns an expression that tells whether the page shows this text. */
function showsText(text: string | RegExp): string {
  const shown = 'document.body.innerText';
  return text instanceof RegExp ? `${String(text)}.test(${shown})` : `${shown}.includes(${JSON.stringify(text)})`;
}
