import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addSetupTensorFlowCommand } from '../../../cli/machine/setup-tensorflow.js';

async function runCommand(...words: string[]): Promise<string> {
  let output = '';
  const program = new Command('lockstep').exitOverride().configureOutput({ writeOut: (text) => (output += text) });
  addSetupTensorFlowCommand(program);
  await program.parseAsync(['setup-tensorflow', ...words], { from: 'user' });
  return output;
}

describe('lockstep setup-tensorflow', () => {
  it('refuses --cpu together with --gpu', async () => {
    await expect(runCommand('--cpu', '--gpu')).rejects.toMatchObject({ code: 'bad-option' });
  });

  it('refuses --both-packages without --cpu', async () => {
    await expect(runCommand('--both-packages')).rejects.toMatchObject({ code: 'bad-option' });
  });

  it.runIf(process.platform === 'linux')('prints what it would run', async () => {
    const output = await runCommand('--cpu', '--dry-run');
    expect(output).toMatch(/^# 1\. Fetching @tensorflow\/tfjs-node@4\.22\.0 from npm$/m);
    expect(output).toMatch(/^npm install --ignore-scripts /m);
  });
});
