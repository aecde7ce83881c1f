// Twelve steps of ResNet-20 with the wasm engine end with the same hash on every machine. The hash is a constant, so
// running this test on a machine compares it with all machines that ran the test before.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { readReport } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { sayWhySkipped } from '../support/why-skipped.js';

/** Hash observed on x86-64 (Intel, family 6, with and without AVX) with Node.js 20.20, 22 and 24. */
const golden = 'f16f0f6f2c1047b354ec9ff996c2d709ee4edc4310afd5da20d5385617ecf00d';
const inFolder = folderPerFile();
const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
/** Paths of additional Node.js binaries to test, separated as in PATH. */
const otherNodes = (process.env['LOCKSTEP_OTHER_NODES'] ?? '')
  .split(path.delimiter)
  .filter((program) => program !== '');
if (otherNodes.length === 0)
  sayWhySkipped('the hash with other versions of Node.js', 'set LOCKSTEP_OTHER_NODES to their paths');

describe('twelve steps of ResNet-20 end with the hash of all other machines', () => {
  beforeAll(async () => {
    await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 500, testImages: 50 }));
  });

  let runs = 0;
  async function hashOf(options: { program?: string; flags?: string[]; workers?: number; threads?: number }) {
    const { program = process.execPath, flags = [], workers = 1, threads = 1 } = options;
    const runDirectory = inFolder(`run-${++runs}`);
    const recipe = ['--steps', '12', '--batch-size', '32', '--data', inFolder('images'), '--run-dir', runDirectory];
    const workerOptions = ['--engine', 'wasm', '--workers', String(workers), '--threads', String(threads)];
    // Worker processes inherit the V8 flags.
    await promisify(execFile)(program, [...flags, cli, 'train', ...recipe, ...workerOptions]);
    return (await readReport(runDirectory)).weightsSha256;
  }

  it.each([
    ['with one worker of one thread', {}],
    ['with two threads', { threads: 2 }],
    ['with two workers', { workers: 2 }],
    ['with three workers', { workers: 3 }],
    ['with four workers', { workers: 4 }],
    ['with only the optimizing compiler', { flags: ['--no-liftoff'] }],
    ['without AVX', { flags: ['--no-enable-avx'] }],
    ...otherNodes.map((program) => [`with ${program}`, { program }] as const),
  ] as const)('%s', async (_, options) => {
    expect(await hashOf(options as Parameters<typeof hashOf>[0])).toBe(golden);
  });
});
