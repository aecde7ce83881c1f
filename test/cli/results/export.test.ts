// lockstep export, run as a user would.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { saveCheckpoint } from '../../../coordinator/run/checkpoints/checkpoint.js';
import { runCli } from '../../support/cli.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { progress, setup, stateAt } from '../../support/small-checkpoint.js';

const inFolder = folderPerFile();

describe('lockstep export', () => {
  let run: string;
  beforeAll(async () => {
    run = inFolder('run');
    for (const step of [7, 9]) await saveCheckpoint(inFolder('run', 'checkpoints'), setup, stateAt(step), progress);
  });

  it('exports the latest checkpoint of a run directory in the format of the extension, and prints how to load it', async () => {
    const target = inFolder('model.onnx');
    const { status, output } = await runCli(['export', run, '--out', target]);
    expect(output).toBe(
      `${path.join(run, 'checkpoints', 'step-00000009')} (step 9) exported as onnx: ${target}, 27.6 kB\n` +
        `load it with: onnxruntime.InferenceSession(${JSON.stringify(target)})\n`,
    );
    expect(status).toBe(0);
    expect(existsSync(target)).toBe(true);
  });

  it('exports a checkpoint by its folder', async () => {
    const checkpoint = path.join(run, 'checkpoints', 'step-00000007');
    const { output } = await runCli(['export', checkpoint, '--to', 'tfjs', '--out', inFolder('web')]);
    expect(output).toContain('step-00000007 (step 7) exported as tfjs');
    expect(existsSync(inFolder('web', 'model.json'))).toBe(true);
  });

  it('lists the formats, or names a missing option, in the last line', async () => {
    const wrong = await runCli(['export', run, '--to', 'pytorch', '--out', inFolder('x')]);
    expect(wrong.status).toBe(2);
    expect(wrong.output).toMatch(/Allowed choices are keras, savedmodel, tfjs, onnx, safetensors\.\n$/);
    const folder = await runCli(['export', run, '--out', inFolder('x')]);
    expect(folder.status).toBe(2);
    expect(folder.output).toMatch(
      /^lockstep: --out is .*: choose one with --to: keras, savedmodel, tfjs, onnx, safetensors\n$/,
    );
    const noOutput = await runCli(['export', run, '--to', 'onnx']);
    expect(noOutput.status).toBe(2);
    expect(noOutput.output).toContain("required option '--out <PATH>' not specified");
    const noRun = await runCli(['export', inFolder('nothing'), '--to', 'onnx', '--out', inFolder('y.onnx')]);
    expect(noRun.output).toContain(`no checkpoint found at ${inFolder('nothing')}`);
    expect(noRun.status).toBe(2);
  });
});
