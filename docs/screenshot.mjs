// node docs/screenshot.mjs: updates docs/dashboard.png with a screenshot of a short run, taken after one of its three
// workers was killed.
// Needs a built checkout (npm ci) and Chromium, like the browser tests.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const cli = fileURLToPath(new URL('../dist/cli.js', import.meta.url));
const picture = fileURLToPath(new URL('dashboard.png', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'lockstep-screenshot-'));
const port = '17357';
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const children = [];

function start(...args) {
  const child = spawn(process.execPath, [cli, ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  return child;
}

const model = ['--depth', '8', '--batch-size', '48', '--slices', '3', '--epochs', '8', '--learning-rate', '0.05'];
// Speculative work is disabled, so that the latest step worth showing is the one during which the worker was killed.
const run = ['--run-dir', 'runs/first', '--data', 'images', '--schedule', 'one-cycle', '--straggler-factor', '0'];
try {
  await new Promise((resolve) => {
    start('data', 'synthesize', 'images', '--training-images', '4000', '--test-images', '500').once('exit', resolve);
  });
  start('coordinator', '--port', port, '--min-workers', '3', ...model, ...run);
  await pause(1);
  const [, , third] = ['ada', 'grace', 'linus'].map((name) =>
    start('worker', `ws://127.0.0.1:${port}`, '--engine', 'wasm', '--name', name, '--no-cache', '--quiet'),
  );
  await pause(18);
  third.kill('SIGKILL');
  await pause(4);
  const executablePath = process.env.LOCKSTEP_CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(`http://127.0.0.1:${port}/`);
  await pause(2);
  await page.screenshot({ path: picture, fullPage: true });
  await browser.close();
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
