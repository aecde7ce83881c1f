// Twelve steps of ResNet-20 with a wasm engine end with the same hash on every machine. The hashes are constants, so
// running this test on a machine compares it with all machines that ran the test before.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import type { Encoding } from '../../shared/encoding/encodings.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import type { WasmEngineName } from '../../worker/engines/wasm/wasm-engine.js';
import { readReport } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { otherNodesFor } from '../support/other-nodes.js';
import { openAvailableWasmEngines } from '../support/wasm-engines.js';

/**
 * Hashes observed on x86-64 (Intel family 6 with and without AVX, for `wasm`; AMD family 26) with Node.js 20.20 (`wasm`
 * only), 22 and 24.
 */
const golden: Readonly<Record<WasmEngineName, string>> = {
  wasm: 'f16f0f6f2c1047b354ec9ff996c2d709ee4edc4310afd5da20d5385617ecf00d',
  'wasm-fma': '511538c2b03cfb19ed1f2967cdd433a0f860a8b40f52a7787d46753030f1d520',
};
/** Hash with `wasm` and int8 encoding. */
const goldenInt8 = 'f554c5deff01c0bbf5859ec2e4384a5eac42ecf75be5e4e7d594406af91b2961';
const inFolder = folderPerFile();
const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const otherNodes = otherNodesFor('the hash');
/** The engine `wasm-fma` needs Node.js 22 or later, so this version may have only the other one. */
const availableHere = (await openAvailableWasmEngines()).map(({ identity }) => identity.engine as WasmEngineName);

interface RunOptions {
  engine: WasmEngineName;
  program?: string;
  /** Flags for V8, which worker processes inherit. */
  flags?: string[];
  workers?: number;
  threads?: number;
  encoding?: Encoding;
}

const run = promisify(execFile);

beforeAll(async () => {
  await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 500, testImages: 50 }));
});

let runs = 0;
async function hashOf({
  engine,
  program = process.execPath,
  flags = [],
  workers = 1,
  threads = 1,
  encoding = 'float32',
}: RunOptions) {
  const runDirectory = inFolder(`run-${++runs}`);
  const recipe = ['--steps', '12', '--batch-size', '32', '--encoding', encoding];
  const folders = ['--data', inFolder('images'), '--run-dir', runDirectory];
  const workerOptions = ['--engine', engine, '--workers', String(workers), '--threads', String(threads)];
  await run(program, [...flags, cli, 'train', ...recipe, ...folders, ...workerOptions]);
  return (await readReport(runDirectory)).weightsSha256;
}

describe.each(availableHere)('twelve steps of ResNet-20 with %s end with the hash of all other machines', (engine) => {
  it.each([
    ['with one worker of one thread', {}],
    ['with two threads', { threads: 2 }],
    ['with two workers', { workers: 2 }],
    ['with four workers', { workers: 4 }],
    ['with only the optimizing compiler', { flags: ['--no-liftoff'] }],
    ['with only the baseline compiler', { flags: ['--liftoff-only'] }],
  ])('%s', async (_, options) => {
    expect(await hashOf({ engine, ...options })).toBe(golden[engine]);
  });
});

it('twelve steps of ResNet-20 with wasm end with the hash of all other machines without AVX', async () => {
  expect(await hashOf({ engine: 'wasm', flags: ['--no-enable-avx'] })).toBe(golden.wasm);
});

describe('twelve steps of ResNet-20 with wasm and int8 encoding end with the hash of all other machines', () => {
  it.each([
    ['with one worker', {}],
    ['with three workers', { workers: 3 }],
    ['with only the baseline compiler', { flags: ['--liftoff-only'] }],
  ])('%s', async (_, options) => {
    expect(await hashOf({ engine: 'wasm', encoding: 'int8', ...options })).toBe(goldenInt8);
  });
});

describe.each(otherNodes)('twelve steps of ResNet-20 with %s end with the hash of all other machines', (program) => {
  it('with wasm', async () => {
    expect(await hashOf({ engine: 'wasm', program })).toBe(golden.wasm);
    expect(await hashOf({ engine: 'wasm', program, encoding: 'int8' })).toBe(goldenInt8);
  });

  it.each([
    ['with wasm-fma and two threads', { threads: 2 }],
    ['with wasm-fma and only the optimizing compiler', { flags: ['--no-liftoff'] }],
    ['with wasm-fma and only the baseline compiler', { flags: ['--liftoff-only'] }],
  ])('%s', async (_, options) => {
    expect(await hashOf({ engine: 'wasm-fma', program, ...options })).toBe(golden['wasm-fma']);
  });

  it('but without a fused instruction, wasm-fma refuses to start', async () => {
    const refused = hashOf({ engine: 'wasm-fma', program, flags: ['--no-enable-fma3'] });
    await expect(refused).rejects.toMatchObject({
      stderr: expect.stringContaining('rounds between multiplication and addition: use the wasm engine') as string,
    });
  });
});
