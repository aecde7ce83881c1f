// Runs `lockstep chaos` with a small model.
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { runCli } from '../support/cli.js';

const small = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--engine', 'wasm'];
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const chaosReport = z.looseObject({
  hashQuiet: hash,
  hashFaulted: hash,
  same: z.boolean(),
  faults: z.array(z.looseObject({ blow: z.looseObject({ kind: z.string() }) })),
  missed: z.number(),
  faulted: z.looseObject({
    workersJoined: z.number(),
    workersLost: z.number(),
    resources: z.looseObject({ handles: z.object({ early: z.number(), late: z.number() }) }),
  }),
});

describe('lockstep chaos', () => {
  it('reports the same weights with and without faults', async () => {
    const heartbeats = ['--heartbeat-timeout', '2', '--heartbeat-interval', '0.5'];
    const plan = ['--steps', '60', '--faults', '16', '--json'];
    const { status, output } = await runCli(['chaos', ...small, ...heartbeats, '--no-tensorboard', ...plan]);
    const report = chaosReport.parse(JSON.parse(output));
    expect(report).toMatchObject({ same: true, hashFaulted: report.hashQuiet });
    expect(status).toBe(0);
    expect(report.faults.length + report.missed).toBe(16);
    const kills = report.faults.filter(({ blow }) => blow.kind === 'kill').length;
    expect(kills).toBeGreaterThan(0);
    // Three workers join at the start. Each killed worker is replaced unless the run ends first.
    expect(report.faulted.workersLost).toBeGreaterThan(0);
    expect(report.faulted.workersJoined).toBeGreaterThan(3);
    const { early, late } = report.faulted.resources.handles;
    // Each connection uses a few handles. If every fault leaked one handle, the number would grow by about 16.
    expect(late - early).toBeLessThan(8);
  });

  it('rejects an invalid number of faults', async () => {
    const { status, output } = await runCli(['chaos', '--faults', 'many']);
    expect(output).toContain('--faults is "many": it must be a whole number');
    expect(status).toBe(2);
  });
});
