// The self-test itself, as an operator starts it, with a small model.
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { runCli } from '../support/cli.js';

const small = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--engine', 'wasm'];
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const chaosReport = z.looseObject({
  hashQuiet: hash,
  hashShaken: hash,
  same: z.boolean(),
  faults: z.array(z.looseObject({ blow: z.looseObject({ kind: z.string() }) })),
  missed: z.number(),
  shaken: z.looseObject({ workersJoined: z.number(), workersLost: z.number() }),
});

describe('lockstep chaos', { timeout: 120_000 }, () => {
  it('shakes a run, and reports the same bits', async () => {
    const { status, output } = await runCli(['chaos', ...small, '--steps', '120', '--faults', '24', '--json']);
    const report = chaosReport.parse(JSON.parse(output));
    expect(report).toMatchObject({ same: true, hashShaken: report.hashQuiet });
    expect(status).toBe(0);
    expect(report.faults.length + report.missed).toBe(24);
    const kills = report.faults.filter(({ blow }) => blow.kind === 'kill').length;
    expect(kills).toBeGreaterThan(0);
    // Three began; each kill loses one, which another follows, unless the end comes first.
    expect(report.shaken.workersLost).toBeGreaterThan(0);
    expect(report.shaken.workersJoined).toBeGreaterThan(3);
  });

  it('refuses a number of faults that is none', async () => {
    const { status, output } = await runCli(['chaos', '--faults', 'many']);
    expect(output).toContain('--faults is "many": it must be a whole number');
    expect(status).toBe(2);
  });
});
