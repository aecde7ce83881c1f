// The output of a run: human-readable, with --quiet, and with --json.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readView, type ViewOptionValues } from '../../../cli/output/run-view.js';
import { follow } from '../../../cli/train/follow.js';
import { FakeClock } from '../../support/fake-clock.js';
import { startCluster } from '../../support/local-cluster.js';

/** Trains for 14 steps with one worker; an epoch has 11 steps. @returns the output */
async function outputOf(options: ViewOptionValues, isTerminal = false) {
  const cluster = await startCluster();
  let text = '';
  const write = (more: string) => void (text += more);
  try {
    const { coordinator } = cluster;
    const following = follow(coordinator, readView(options, { isTerminal, write, columns: () => 50 }), {});
    await cluster.join({ name: 'helper' });
    await following;
    const metrics = await readFile(path.join(coordinator.runDirectory, 'metrics.jsonl'), 'utf8');
    return { text, lines: text.trimEnd().split('\n'), metrics, report: await coordinator.report };
  } finally {
    await cluster.close();
  }
}

describe('the human-readable output', () => {
  it('prints a line per epoch without a terminal, the parameter counts and the result', async () => {
    const { lines, report } = await outputOf({});
    expect(lines).toContainEqual(expect.stringMatching(/^Total params: 5,186 .* · Non-trainable params: 120/));
    expect(lines.filter((line) => line.startsWith('epoch '))).toEqual([
      expect.stringMatching(/^epoch 1\/2 · step 11\/14 · loss .* · validation loss [\d.]+, accuracy [\d.]+$/),
      expect.stringMatching(/^epoch 2\/2 · step 14\/14 · loss .* · validation loss [\d.]+, accuracy [\d.]+$/),
    ]);
    expect(lines).toContainEqual(expect.stringMatching(/^Test loss: \d+\.\d{4} \/ Test accuracy: \d\.\d{4}$/));
    expect(lines).toContain(`weights ${report.weightsSha256} (exact)`);
  });

  it('prints the layers first on a terminal, and a live line that is never wider than the terminal', async () => {
    const { text } = await outputOf({}, true);
    expect(text).toContain('Layer (type)');
    // ESC [J clears the previous line.
    const plain = text.replaceAll('\u001b[J', '<clear>');
    const liveLines = [...plain.matchAll(/(epoch [^\n\r]*)\r<clear>/g)].map(([, line]) => line);
    expect(liveLines.length).toBeGreaterThan(5);
    for (const line of liveLines) expect(line.length).toBeLessThan(50);
    expect(plain).toMatch(/\r<clear>epoch 1\/2 · step 11\/14 · .* · validation loss/);
    expect((await outputOf({ summary: false }, true)).text).not.toContain('Layer (type)');
  });
});

it('the human-readable output says what an operator did', async () => {
  const cluster = await startCluster();
  let text = '';
  const write = (more: string) => void (text += more);
  try {
    const { coordinator } = cluster;
    const following = follow(coordinator, readView({}, { isTerminal: false, write, columns: () => 80 }), {});
    coordinator.events.publish({ type: 'operated', action: 'drop', detail: 'attic (10.0.0.7) by ops' });
    await cluster.join();
    await following;
    expect(text).toContain('\ndropped attic (10.0.0.7) by ops\n');
  } finally {
    await cluster.close();
  }
});

it('the estimated time left does not include the time spent waiting for workers', async () => {
  const clock = new FakeClock();
  const cluster = await startCluster({ clock });
  let text = '';
  const write = (more: string) => void (text += more);
  try {
    const { coordinator } = cluster;
    // Each step takes a second, after an hour of waiting for the first one.
    coordinator.events.on('step', () => clock.advance(1000));
    const following = follow(coordinator, readView({}, { isTerminal: true, write, columns: () => 200 }), {});
    clock.advance(3_600_000);
    await cluster.join();
    await following;
    expect(text).toMatch(/step 2\/14 · .* · 12 s left/);
    expect(text).toMatch(/step 13\/14 · .* · 1 s left/);
  } finally {
    await cluster.close();
  }
});

it('--quiet prints only the result of the test and the hash of the weights', async () => {
  const { text, report } = await outputOf({ quiet: true });
  const { loss, accuracy } = report.test!;
  expect(text).toBe(
    `Test loss: ${loss.toFixed(4)} / Test accuracy: ${accuracy.toFixed(4)}\nweights ${report.weightsSha256} (exact)\n`,
  );
});

it('--json prints the start, the lines of metrics.jsonl, and the report', async () => {
  const { lines, metrics, report } = await outputOf({ json: true });
  const [start, ...rest] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(start).toMatchObject({ type: 'start', totalSteps: 14, stepsPerEpoch: 11, trainableParameters: 5066 });
  expect(start['config']).toMatchObject({ depth: 8, seed: 5 });
  expect(lines.slice(1, -1)).toEqual(metrics.trimEnd().split('\n'));
  expect(rest.at(-1)).toEqual({ type: 'report', time: expect.any(String) as string, ...report });
});
