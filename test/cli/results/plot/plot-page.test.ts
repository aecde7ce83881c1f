// lockstep plot: the command, and its page in a browser.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { runCli } from '../../../support/cli.js';
import { openChromiumOrReason, openPage, type WatchedPage } from '../../../support/chromium.js';
import { folderPerFile } from '../../../support/folder-per-file.js';
import { evaluationLine, stepLine } from './metrics-lines.js';

const inFolder = folderPerFile();
/** Curve colors of the first and second run (curveColor(0) and curveColor(1)), on light and dark pages. */
const colors = { light: ['#0072b2', '#c44e00'], dark: ['#58b4f0', '#ff9248'] } as const;

/**
 * Writes a run of 200 steps, 50 per epoch. Its loss falls from about 2 to `last.loss`, and its accuracy rises to
 * `last.accuracy`.
 */
async function writeRun(
  name: string,
  last: { loss: number; accuracy: number; speed: number },
  isFinished: boolean,
): Promise<string> {
  const folder = inFolder(name);
  await mkdir(folder);
  const lines = Array.from({ length: 200 }, (_, i) => {
    const progress = (i + 1) / 200;
    const epoch = Math.floor(i / 50) + 1;
    const values = {
      epoch,
      loss: 2 + (last.loss - 2) * progress,
      accuracy: last.accuracy * progress,
      learningRate: 0.1 * (1 - progress),
    };
    const step = stepLine(i + 1, { ...values, imagesPerSecond: last.speed - 100 * (i % 2) });
    return (i + 1) % 50 > 0
      ? [step]
      : [step, evaluationLine('validation', i + 1, { epoch, loss: 1.5, accuracy: 0.4 + progress / 10 })];
  }).flat();
  if (isFinished) lines.push(evaluationLine('test', 200, { epoch: 4, loss: 1.4, accuracy: 0.4321 }));
  await writeFile(path.join(folder, 'metrics.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return folder;
}

describe('lockstep plot', () => {
  let browser: Browser | string;
  let file: string;
  let plotted: Awaited<ReturnType<typeof runCli>>;

  beforeAll(async () => {
    browser = await openChromiumOrReason('the page of curves');
    const runs = [
      await writeRun('first', { loss: 0.6, accuracy: 0.5, speed: 500 }, true),
      await writeRun('<second>', { loss: 1, accuracy: 0.3, speed: 300 }, false),
    ];
    file = inFolder('plot.html');
    plotted = await runCli(['plot', ...runs, '--out', file]);
  });
  afterAll(async () => {
    if (typeof browser !== 'string') await browser.close();
  });

  it('writes a self-contained page', async () => {
    expect(plotted).toEqual({ status: 0, output: expect.stringMatching(/plot\.html: 2 runs, [\d.]+ kB\n$/) });
    const html = await readFile(file, 'utf8');
    expect(html).toContain(`content="default-src 'none'; script-src 'sha256-`);
    expect(html).not.toMatch(/<(?:link|img|iframe|script[^>]*\ssrc)|@import|url\(/);
  });

  it.each([
    ['a folder that does not exist', 'nowhere', 'which does not exist'],
    ['a folder that is not a run directory', '.', 'which has no metrics.jsonl'],
    ['a file', 'first/metrics.jsonl', 'which is not a folder'],
  ])('exits with status 2 for %s', async (_, run, reason) => {
    const { status, output } = await runCli(['plot', inFolder(run), '--out', file]);
    expect(output).toContain(`RUN-DIR is ${inFolder(run)}, ${reason}: specify a run directory`);
    expect(status).toBe(2);
  });

  it('does not replace a file that is not an HTML page', async () => {
    const { status, output } = await runCli(['plot', inFolder('first'), '--out', inFolder('first', 'config.json')]);
    expect(output).toContain('it must end in .html');
    expect(status).toBe(2);
  });

  describe('in a browser', () => {
    beforeEach((context) => {
      if (typeof browser === 'string') context.skip(browser);
    });

    async function open(options: {
      width: number;
      height: number;
      colorScheme?: 'light' | 'dark';
    }): Promise<WatchedPage> {
      const watched = await openPage(browser as Browser, options);
      onTestFinished(() => watched.page.context().close());
      await watched.page.goto(pathToFileURL(file).href);
      await watched.page.waitForSelector('canvas');
      return watched;
    }

    it('draws each run in its color in four charts, without requests or errors', async () => {
      const { page, problems, requests } = await open({ width: 1200, height: 900 });
      expect(await page.locator('h2').allInnerTexts()).toEqual([
        expect.stringContaining('Loss'),
        expect.stringContaining('Accuracy'),
        expect.stringContaining('Learning rate'),
        expect.stringContaining('Throughput'),
      ]);
      for (const quantity of ['loss', 'accuracy', 'imagesPerSecond']) {
        for (const color of colors.light) expect(await pixelsOf(page, quantity, color)).toBeGreaterThan(100);
      }
      // Both runs have the same learning rate: the second curve covers the first.
      expect(await pixelsOf(page, 'learningRate', colors.light[1])).toBeGreaterThan(100);
      expect(problems).toEqual([]);
      expect(requests).toEqual([pathToFileURL(file).href]);
    });

    it('shows the results of the runs in a table', async () => {
      const { page } = await open({ width: 1200, height: 900 });
      const rows = await page.locator('.runs tbody tr').allInnerTexts();
      const numbers = rows.map((row) => row.split(/\s*[\t\n]\s*/).filter((cell) => cell !== ''));
      // The losses are means over the last twentieth of the run, 10 steps, at the mean step 195.5: 2 - 1.4 × 195.5/200
      // = 0.63150 and 2 - 195.5/200 = 1.0225. Every other step is 100 images/s slower, so the median speed is halfway
      // between the two speeds.
      expect(numbers).toEqual([
        ['first', '200', '0.6315', '1.5000', '50.00%', '50.00% in epoch 4', '43.21%', '450'],
        ['<second>', '200 so far', '1.0225', '1.5000', '50.00%', '50.00% in epoch 4', '–', '250'],
      ]);
      expect(await page.locator('.validations tbody tr').count()).toBe(8);
    });

    it('hides and shows a run with the keyboard', async () => {
      const { page } = await open({ width: 1200, height: 900 });
      const second = page.getByRole('button', { name: '<second>' });
      await second.press('Enter');
      expect(await second.getAttribute('aria-pressed')).toBe('false');
      await page.waitForFunction(
        `document.querySelector('[data-quantity=loss] .chart-frame').ariaLabel.startsWith('Loss, 4 lines')`,
      );
      expect(await pixelsOf(page, 'loss', colors.light[1])).toBe(0);
      expect(await pixelsOf(page, 'loss', colors.light[0])).toBeGreaterThan(100);
      await second.press('Space');
      expect(await pixelsOf(page, 'loss', colors.light[1])).toBeGreaterThan(100);
    });

    it('shows the values under the pointer, and announces them when an arrow key is pressed', async () => {
      const { page } = await open({ width: 1200, height: 900 });
      await page.getByLabel('smoothing').fill('0');
      const chart = page.locator('[data-quantity=loss]');
      const area = (await chart.locator('.u-over').boundingBox())!;
      await page.mouse.move(area.x + area.width - 1, area.y + 50);
      const readout = chart.locator('.chart-readout');
      await readout.getByText('first training').waitFor();
      expect(await readout.innerText()).toMatch(
        /^steps 1?[29]\d\d?\s+first training\s+0\.6\d\d\d\s+first validation\s+1\.5000\s+first test\s+1\.4000/,
      );
      await page.mouse.move(0, 0);
      await chart.locator('.chart-frame').focus();
      await page.keyboard.press('End');
      const spoken = chart.locator('[aria-live]');
      await spoken.getByText('first training').waitFor({ state: 'attached' });
      expect(await spoken.textContent()).toContain(
        'first training: 0.6000, first validation: 1.5000, first test: 1.4000, <second> training: 1.0000',
      );
    });

    it('can show epochs instead of steps', async () => {
      const { page } = await open({ width: 1200, height: 900 });
      await page.getByLabel('horizontal axis').selectOption('epochs');
      const chart = page.locator('[data-quantity=accuracy]');
      await chart.locator('.chart-frame').focus();
      await page.keyboard.press('End');
      await expect.poll(() => chart.locator('[aria-live]').textContent()).toMatch(/^epochs (?:4|3\.99)/);
      // Without a configuration, the batch size is unknown.
      expect(await page.locator('option[value=images]').isDisabled()).toBe(true);
    });

    it('fits the screen of a phone, and follows the color scheme', async () => {
      const { page, problems } = await open({ width: 360, height: 740, colorScheme: 'dark' });
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
      const boxes = await page.locator('.chart canvas').evaluateAll((all) => all.map((each) => each.clientWidth));
      expect(boxes.length).toBe(4);
      for (const width of boxes) expect(width).toBeGreaterThan(280);
      for (const color of colors.dark) expect(await pixelsOf(page, 'loss', color)).toBeGreaterThan(50);
      expect(await pixelsOf(page, 'loss', colors.light[0])).toBe(0);
      await page.emulateMedia({ colorScheme: 'light' });
      await expect.poll(() => pixelsOf(page, 'loss', colors.light[0])).toBeGreaterThan(50);
      expect(problems).toEqual([]);
    });
  });
});

/** Counts the pixels in a chart that have exactly this color. */
function pixelsOf(page: Page, quantity: string, color: string): Promise<number> {
  const code = `(() => {
    const canvas = document.querySelector('[data-quantity=${quantity}] canvas');
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    const wanted = [1, 3, 5].map((at) => parseInt('${color}'.slice(at, at + 2), 16));
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] === 255 && wanted.every((value, c) => data[i + c] === value)) count++;
    }
    return count;
  })()`;
  return page.evaluate<number>(code);
}
