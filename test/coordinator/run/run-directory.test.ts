import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { MetricsLine } from '../../../coordinator/run/metrics-lines.js';
import { defaultRunDirectory, RunDirectory } from '../../../coordinator/run/run-directory.js';
import { RunTotals } from '../../../coordinator/run/run-totals.js';
import { resolveConfig } from '../../../shared/config/config.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const config = resolveConfig({ seed: 4 });
async function opened(directory: string): Promise<RunDirectory> {
  const run = new RunDirectory(directory);
  await run.open(config);
  return run;
}
const readJson = async (file: string): Promise<unknown> => JSON.parse(await readFile(file, 'utf8'));

describe('a run directory', () => {
  it('is created with its parents, and holds the configuration and a directory for checkpoints', async () => {
    const directory = path.join(await temporaryFolder(), 'deep', 'down', 'run');
    const run = await opened(directory);
    await run.close();
    expect(await readJson(path.join(directory, 'config.json'))).toEqual(config);
    expect(run.checkpoints).toBe(path.join(directory, 'checkpoints'));
    expect((await readdir(directory)).toSorted()).toEqual(['checkpoints', 'config.json', 'metrics.jsonl']);
  });

  it('has a line in metrics.jsonl for everything logged, in order', async () => {
    const run = await opened(path.join(await temporaryFolder(), 'run'));
    const lines: MetricsLine[] = [
      { type: 'validation', time: '2026-01-02T03:04:04.000Z', step: 351, epoch: 1, loss: 2.25, accuracy: 0.125 },
      {
        type: 'event',
        step: 351,
        time: '2026-01-02T03:04:05.000Z',
        event: 'worker-lost',
        detail: 'a "quote"\nand a line',
      },
      { type: 'test', time: '2026-01-02T03:04:06.000Z', step: 702, epoch: 2, loss: 2, accuracy: 0.25 },
    ];
    for (const line of lines) run.log(line);
    await run.close();
    const text = await readFile(path.join(run.directory, 'metrics.jsonl'), 'utf8');
    expect(text.endsWith('\n')).toBe(true);
    expect(
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(lines);
  });

  it('has the report after the run, and no partly written files', async () => {
    const run = await opened(path.join(await temporaryFolder(), 'run'));
    const results = {
      seed: 4,
      initialWeightsSha256: null,
      steps: 1,
      epochs: 1,
      imagesSeen: 128,
      wallSeconds: 2,
      weightsSha256: 'f'.repeat(64),
      train: { loss: 1, accuracy: 0 },
      validation: null,
      test: { loss: 1, accuracy: 0, topFiveAccuracy: null },
    };
    const report = new RunTotals(null).report(results, 128, { sent: 0, received: 0 });
    await run.writeReport(report);
    await run.close();
    expect(await readJson(path.join(run.directory, 'report.json'))).toEqual(report);
    expect((await readdir(run.directory)).filter((name) => name.endsWith('.partial'))).toEqual([]);
  });

  it('may exist already if it is empty', async () => {
    const directory = await temporaryFolder();
    await (await opened(directory)).close();
    expect(await readdir(directory)).toContain('config.json');
  });

  it('is refused if it has a checkpoint of another run, and is not changed', async () => {
    const directory = await temporaryFolder();
    await mkdir(path.join(directory, 'checkpoints', 'step-00000351'), { recursive: true });
    await writeFile(path.join(directory, 'metrics.jsonl'), 'of another run');
    await expect(opened(directory)).rejects.toMatchObject({
      code: 'bad-option',
      message: `\`runDir\` ${directory} already holds a run: specify another directory, or continue that run with \`resume\``,
    });
    expect(await readFile(path.join(directory, 'metrics.jsonl'), 'utf8')).toBe('of another run');
  });

  it('is refused if it cannot be created', async () => {
    const file = path.join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    const directory = path.join(file, 'run');
    await expect(opened(directory)).rejects.toMatchObject({
      code: 'bad-option',
      message: `cannot create \`runDir\` ${directory} (ENOTDIR): specify a writable directory`,
    });
  });
});

it('the default run directory is named after the local time, to the second', () => {
  // The Date constructor takes a zero-based month: 10 is November.
  expect(defaultRunDirectory(new Date(2026, 10, 23, 10, 20, 30, 999))).toBe(path.join('runs', '2026-11-23T10-20-30'));
});

it('the default run directory has a number if others were started in the same second', async () => {
  const parent = await temporaryFolder();
  const second = new Date(2026, 10, 23, 10, 20, 30);
  const names: string[] = [];
  for (let run = 0; run < 3; run++) {
    const directory = defaultRunDirectory(second, parent);
    await mkdir(directory);
    names.push(path.basename(directory));
  }
  expect(names).toEqual(['2026-11-23T10-20-30', '2026-11-23T10-20-30-2', '2026-11-23T10-20-30-3']);
});
