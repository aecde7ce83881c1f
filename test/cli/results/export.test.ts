// lockstep export, as a person types it.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { saveCheckpoint } from '../../../coordinator/run/checkpoint.js';
import { runCli } from '../../support/cli.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { classNames, config, layout, shardHashes, progress, stateAt } from '../../support/small-checkpoint.js';

const inFolder = folderPerFile();

describe('lockstep export', () => {
  let run: string;
  beforeAll(async () => {
    const preprocessing = 'imagenet' as const;
    const writer = {
      directory: inFolder('run', 'checkpoints'),
      layout,
      config,
      preprocessing,
      classNames,
      shardHashes,
    };
    await saveCheckpoint(writer, stateAt(7), progress);
    await saveCheckpoint(writer, stateAt(9), progress);
    run = inFolder('run');
  });

  it('takes a run’s folder for its latest checkpoint, and says how to load what it wrote', async () => {
    const target = inFolder('model.onnx');
    const { status, output } = await runCli(['export', run, '--to', 'onnx', '--out', target]);
    expect(output).toBe(
      `${path.join(run, 'checkpoints', 'step-00000009')} (step 9) as onnx: ${target}, 0.03 MB\n` +
        `load it with: onnxruntime.InferenceSession(${JSON.stringify(target)})\n`,
    );
    expect(status).toBe(0);
    expect(existsSync(target)).toBe(true);
  });

  it('takes a checkpoint’s own folder', async () => {
    const checkpoint = path.join(run, 'checkpoints', 'step-00000007');
    const { output } = await runCli(['export', checkpoint, '--to', 'tfjs', '--out', inFolder('web')]);
    expect(output).toContain('step-00000007 (step 7) as tfjs');
    expect(existsSync(inFolder('web', 'model.json'))).toBe(true);
  });

  it('names the formats that there are, and what is missing', async () => {
    const wrong = await runCli(['export', run, '--to', 'pytorch', '--out', inFolder('x')]);
    expect(wrong.status).toBe(2);
    expect(wrong.output).toContain('Allowed choices are keras, savedmodel, tfjs, onnx, safetensors');
    const nowhere = await runCli(['export', run, '--to', 'onnx']);
    expect(nowhere.status).toBe(2);
    expect(nowhere.output).toContain("required option '--out <PATH>' not specified");
    const noRun = await runCli(['export', inFolder('nothing'), '--to', 'onnx', '--out', inFolder('y.onnx')]);
    expect(noRun.output).toContain(`there is no checkpoint at ${inFolder('nothing')}`);
    expect(noRun.status).toBe(2);
  });
});
