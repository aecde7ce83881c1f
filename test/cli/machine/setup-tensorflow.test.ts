import { describe, expect, it } from 'vitest';
import { runProgram } from '../../support/program.js';

const setup = (...words: string[]) => runProgram('setup-tensorflow', ...words);

describe('lockstep setup-tensorflow', () => {
  it('rejects --cpu together with --gpu', async () => {
    expect((await setup('--cpu', '--gpu')).error).toMatchObject({ code: 'bad-option' });
  });

  it('rejects --both-packages without --cpu', async () => {
    expect((await setup('--both-packages')).error).toMatchObject({ code: 'bad-option' });
  });

  it.runIf(process.platform === 'linux')('prints the commands with --dry-run', async () => {
    const { out: output } = await setup('--cpu', '--dry-run');
    expect(output).toMatch(/^# 1\. Fetching @tensorflow\/tfjs-node@4\.22\.0 from npm$/m);
    expect(output).toMatch(/^npm install --ignore-scripts /m);
  });
});
