// Checks the webgpu engine on a machine with a GPU, on any system, in less than ten minutes. Run it in a checkout of Lockstep,
// after `npm ci`:
//   node deploy/webgpu-check.mjs
// It installs the package `webgpu` (132 MB), prints what it finds, and writes the same to webgpu-check.txt.
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const output = path.join(root, 'webgpu-check.txt');
const folder = mkdtempSync(path.join(os.tmpdir(), 'lockstep-webgpu-'));
/** The whole check must end within ten minutes. */
const endMs = Date.now() + 570_000;

function say(text) {
  process.stdout.write(`${text}\n`);
  appendFileSync(output, `${text}\n`);
}

/** Runs a program, says how long it took, and returns what it printed. Says the last lines if it failed. */
function run(title, program, args, maxSeconds) {
  const startedMs = Date.now();
  const timeout = Math.max(1_000, Math.min(1_000 * maxSeconds, endMs - startedMs));
  // npm is a script on Windows.
  const shell = process.platform === 'win32' && program !== process.execPath;
  const { status, signal, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8', timeout, shell });
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1);
  const isOk = status === 0;
  say(`\n== ${title} (${seconds} s)${isOk ? '' : `: FAILED (${signal ?? `exit status ${status}`})`}`);
  if (!isOk) say(`${stdout ?? ''}${stderr ?? ''}`.trimEnd().split('\n').slice(-30).join('\n'));
  return isOk ? stdout : undefined;
}

const lockstep = (title, args, maxSeconds) => run(title, process.execPath, ['dist/cli.js', ...args], maxSeconds);

function bench(title, args) {
  const line = lockstep(title, ['bench', ...args, '--rounds', '3', '--seconds', '2', '--profile', '--json'], 90);
  if (line !== undefined) say(line.trim());
}

/** Trains a few steps. @returns the SHA-256 of the weights */
function hashOf(name, args) {
  const runDirectory = path.join(folder, name);
  const recipe = ['--data', images, '--steps', '40', '--batch-size', '128', '--seed', '1', '--exact'];
  const done = lockstep(
    `train: ${name}`,
    ['train', '--engine', 'webgpu', ...recipe, ...args, '--run-dir', runDirectory],
    90,
  );
  if (done === undefined) return `${name} failed`;
  const { weightsSha256, fingerprint, exact } = JSON.parse(
    readFileSync(path.join(runDirectory, 'report.json'), 'utf8'),
  );
  say(`${weightsSha256} exact: ${exact}, ${fingerprint}`);
  return weightsSha256;
}

writeFileSync(output, '');
const images = path.join(folder, 'images');
try {
  say(`${os.type()} ${os.release()} ${os.arch()}, ${os.cpus()[0].model}, Node.js ${process.versions.node}`);
  run('npm install webgpu', 'npm', ['install', '--no-save', 'webgpu@^0.6.2'], 120);
  const checks = lockstep('doctor', ['doctor', '--engine', 'webgpu'], 120);
  if (checks !== undefined) say(checks);
  const tests = ['--config', 'vitest.browsers.config.ts', 'test/browsers/webgpu/operations.test.ts'];
  run('operations against float64', 'npx', ['vitest', 'run', ...tests], 150);
  for (const batch of ['128', '1024']) {
    bench(`bench: webgpu, batches of ${batch}`, ['--engine', 'webgpu', '--batch-size', batch]);
    bench(`bench: webgpu, batches of ${batch} in one slice`, [
      '--engine',
      'webgpu',
      '--batch-size',
      batch,
      '--slices',
      '1',
    ]);
  }
  bench('bench: wasm, batches of 128', ['--engine', 'wasm']);
  lockstep('images', ['data', 'synthesize', images, '--training-images', '5000', '--test-images', '500'], 60);
  const hashes = [
    hashOf('one worker', ['--workers', '1']),
    hashOf('one worker again', ['--workers', '1']),
    hashOf('two workers', ['--workers', '2']),
  ];
  const isSame = new Set(hashes).size === 1;
  say(`\n${isSame ? 'OK: all runs have the same weights' : 'DIFFERENT weights: the engine is not exact on this GPU'}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`\nPlease send ${output}\n`);
