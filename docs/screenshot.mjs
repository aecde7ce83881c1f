// node docs/screenshot.mjs: takes the pictures of the documentation anew. dashboard.png shows a short run after one of its
// three workers was killed; the others show the page of a join link while it works, and the dashboard's panel of the link.
// Needs a built checkout (npm ci) and Chromium, like the browser tests.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import sharp from 'sharp';

const cli = fileURLToPath(new URL('../dist/cli.js', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'lockstep-screenshot-'));
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const children = [];

function start(...args) {
  const child = spawn(process.execPath, [cli, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.resume();
  children.push(child);
  return child;
}

/** Saves a picture in docs/, with a palette, which makes it several times smaller. */
async function save(name, picture) {
  await sharp(await picture)
    .png({ palette: true, effort: 10 })
    .toFile(fileURLToPath(new URL(name, import.meta.url)));
}

/** Returns the join link that a coordinator prints. */
function linkOf(coordinator) {
  return new Promise((resolve) => {
    let output = '';
    coordinator.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      const found = /join link: (\S+)\n/.exec(output);
      if (found !== null) resolve(found[1]);
    });
  });
}

async function takeDashboard(browser, port) {
  const model = ['--depth', '8', '--batch-size', '48', '--slices', '3', '--epochs', '8', '--learning-rate', '0.05'];
  // Speculative work is disabled, so that the latest step worth showing is the one during which the worker was killed.
  const run = ['--run-dir', 'runs/first', '--data', 'images', '--schedule', 'one-cycle', '--straggler-factor', '0'];
  const coordinator = start('coordinator', '--port', port, '--min-workers', '3', ...model, ...run);
  await pause(1);
  const workers = ['ada', 'grace', 'linus'].map((name) =>
    start('worker', `ws://127.0.0.1:${port}`, '--engine', 'wasm', '--name', name, '--no-cache', '--quiet'),
  );
  await pause(18);
  workers[2].kill('SIGKILL');
  await pause(4);
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(`http://127.0.0.1:${port}/`);
  await pause(2);
  await save('dashboard.png', page.screenshot({ fullPage: true }));
  for (const child of [coordinator, ...workers]) child.kill('SIGKILL');
}

/** A tab computes beside a Node worker, in the same run for all pictures. */
async function takeJoinPage(browser, port) {
  const run = ['--run-dir', 'runs/joined', '--data', 'images', '--depth', '8', '--epochs', '100'];
  const coordinator = start('coordinator', '--port', port, '--join-link', '--organizer', 'the image lab', ...run);
  const link = await linkOf(coordinator);
  const worker = start(
    'worker',
    `ws://127.0.0.1:${port}`,
    '--engine',
    'wasm',
    '--name',
    'ada',
    '--no-cache',
    '--quiet',
  );
  const page = await browser.newPage({ viewport: { width: 760, height: 500 }, colorScheme: 'light' });
  await page.goto(link);
  await page.getByRole('button', { name: 'Start computing' }).click();
  await page.getByText('Computing', { exact: true }).waitFor();
  await pause(20);
  await save('join-light.png', page.screenshot({ fullPage: true }));
  await page.emulateMedia({ colorScheme: 'dark' });
  await save('join-dark.png', page.screenshot({ fullPage: true }));
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 390, height: 500 });
  await save('join-phone.png', page.screenshot({ fullPage: true }));
  const dashboard = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  await dashboard.goto(`http://127.0.0.1:${port}/`);
  await save('join-panel.png', dashboard.getByRole('region', { name: 'Join link' }).screenshot());
  for (const child of [coordinator, worker]) child.kill('SIGKILL');
}

const executablePath = process.env.LOCKSTEP_CHROMIUM ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
try {
  await once(start('data', 'synthesize', 'images', '--training-images', '4000', '--test-images', '500'), 'exit');
  if (process.argv[2] !== 'join') await takeDashboard(browser, '17357');
  await takeJoinPage(browser, '17358');
} finally {
  await browser.close();
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
