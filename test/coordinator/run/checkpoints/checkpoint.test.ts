import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkpointName, listCheckpoints, saveCheckpoint } from '../../../../coordinator/run/checkpoints/checkpoint.js';
import { layoutHash, weightsSha256 } from '../../../../shared/network/layout-hash.js';
import { decodeSafetensors } from '../../../../shared/network/safetensors.js';
import { lockstepVersion } from '../../../../shared/version.js';
import {
  dataset,
  config,
  layout,
  newDirectory,
  progress,
  setup,
  shardHashes,
  stateAt,
} from '../../../support/small-checkpoint.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';

async function readState(checkpoint: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path.join(checkpoint, 'state.json'), 'utf8')) as Record<string, unknown>;
}

describe('a checkpoint', () => {
  it('is a directory named after its step', async () => {
    const directory = await newDirectory();
    const saved = await saveCheckpoint(directory, setup, stateAt(351), progress);
    expect(saved).toBe(path.join(directory, 'step-00000351'));
    expect((await readdir(saved)).toSorted()).toEqual([
      'SHA256SUMS',
      'model.safetensors',
      'optimizer.safetensors',
      'state.json',
    ]);
  });

  it('holds every array with its name, shape and values', async () => {
    const state = stateAt(2);
    const saved = await saveCheckpoint(await newDirectory(), setup, state, progress);
    const read = async (name: string) => decodeSafetensors(await readFile(path.join(saved, name)), name);
    const model = await read('model.safetensors');
    const optimizer = await read('optimizer.safetensors');
    const names = layout.weights.map((array) => array.name);
    expect([...model.keys()]).toEqual([...names, ...layout.statistics.map((array) => array.name)]);
    expect([...optimizer.keys()]).toEqual(names.map((name) => `velocity/${name}`));
    for (const { name, shape, offset, size } of layout.weights) {
      const weights = state.weights.slice(offset, offset + size);
      const velocity = state.optimizerState['velocity'].slice(offset, offset + size);
      const velocityName = `velocity/${name}`;
      expect(model.get(name)).toEqual({ name, shape, values: weights });
      expect(optimizer.get(velocityName)).toEqual({ name: velocityName, shape, values: velocity });
    }
    for (const { name, shape, offset, size } of layout.statistics) {
      const values = state.movingStatistics.slice(offset, offset + size);
      expect(model.get(name)).toEqual({ name, shape, values });
    }
  });

  it('has a state.json that describes it and the hashes of its files', async () => {
    const state = stateAt(3);
    const saved = await saveCheckpoint(await newDirectory(), setup, state, progress);
    const files: Record<string, { bytes: number; sha256: string }> = {};
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      const bytes = await readFile(path.join(saved, name));
      files[name] = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
    }
    expect(await readState(saved)).toEqual({
      lockstepVersion,
      step: 3,
      weightsSha256: weightsSha256(state.weights, state.movingStatistics),
      network: layout.graph,
      layoutHash: layoutHash(layout),
      optimizerState: ['velocity'],
      config,
      dataset,
      shardHashes,
      progress,
      files,
    });
  });

  it('has its hashes in the format of sha256sum', async () => {
    const saved = await saveCheckpoint(await newDirectory(), setup, stateAt(3), progress);
    const lines = ['model.safetensors', 'optimizer.safetensors', 'state.json'].map(async (name) => {
      const hash = createHash('sha256').update(await readFile(path.join(saved, name)));
      return `${hash.digest('hex')}  ${name}\n`;
    });
    expect(await readFile(path.join(saved, 'SHA256SUMS'), 'utf8')).toBe((await Promise.all(lines)).join(''));
  });

  it('is what the relative link `latest` points to', async () => {
    const directory = await newDirectory();
    const latest = path.join(directory, 'latest');
    await saveCheckpoint(directory, setup, stateAt(1), progress);
    expect(await readlink(latest)).toBe('step-00000001');
    await saveCheckpoint(directory, setup, stateAt(2), progress);
    expect(await readlink(latest)).toBe('step-00000002');
    expect((await readState(latest))['step']).toBe(2);
  });

  it('replaces a checkpoint of the same step', async () => {
    const directory = await newDirectory();
    const zeros = { ...stateAt(5), weights: new Float32Array(layout.weightsSize) };
    const saved = await saveCheckpoint(directory, setup, zeros, progress);
    await writeFile(path.join(saved, 'stray'), '');
    await saveCheckpoint(directory, setup, stateAt(5), progress);
    expect(await readdir(saved)).not.toContain('stray');
    const { weights, movingStatistics } = stateAt(5);
    expect((await readState(saved))['weightsSha256']).toBe(weightsSha256(weights, movingStatistics));
  });

  it('replaces what an interrupted attempt left, and leaves nothing else', async () => {
    const directory = await newDirectory();
    const partial = path.join(directory, 'step-00000007.partial');
    await mkdir(partial, { recursive: true });
    await writeFile(path.join(partial, 'stray'), 'half a file');
    await writeFile(path.join(directory, 'latest.partial'), '');
    const saved = await saveCheckpoint(directory, setup, stateAt(7), progress);
    expect((await readdir(directory)).toSorted()).toEqual(['latest', 'step-00000007']);
    expect(await readdir(saved)).not.toContain('stray');
  });
});

describe('listCheckpoints', () => {
  it('lists complete checkpoints, oldest first', async () => {
    const directory = await newDirectory();
    for (const step of [10, 9, 351]) await saveCheckpoint(directory, setup, stateAt(step), progress);
    await mkdir(path.join(directory, 'step-00000400.partial'));
    expect(await listCheckpoints(directory)).toEqual(
      [9, 10, 351].map((step) => path.join(directory, checkpointName(step))),
    );
  });

  it('lists nothing if the directory does not exist', async () => {
    expect(await listCheckpoints(path.join(await temporaryFolder(), 'nothing'))).toEqual([]);
  });

  it('fails if the directory is a file', async () => {
    const file = path.join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    expect((await stat(file)).isFile()).toBe(true);
    await expect(listCheckpoints(file)).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});
