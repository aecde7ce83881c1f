import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkpointName, listCheckpoints, saveCheckpoint } from '../../../coordinator/run/checkpoint.js';
import { layoutHash, weightsSha256 } from '../../../shared/network/layout-hash.js';
import { decodeSafetensors } from '../../../shared/network/safetensors.js';
import { lockstepVersion } from '../../../shared/version.js';
import {
  classNames,
  config,
  layout,
  newWriter,
  shardHashes,
  progress,
  stateAt,
} from '../../support/small-checkpoint.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

async function readState(checkpoint: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path.join(checkpoint, 'state.json'), 'utf8')) as Record<string, unknown>;
}

describe('a checkpoint', () => {
  it('is a folder named by its step', async () => {
    const writer = await newWriter();
    const saved = await saveCheckpoint(writer, stateAt(351), progress);
    expect(saved).toBe(path.join(writer.directory, 'step-00000351'));
    expect((await readdir(saved)).toSorted()).toEqual([
      'SHA256SUMS',
      'model.safetensors',
      'optimizer.safetensors',
      'state.json',
    ]);
  });

  it('reads back: every array by its name, shape and values', async () => {
    const state = stateAt(2);
    const saved = await saveCheckpoint(await newWriter(), state, progress);
    const read = async (name: string) => decodeSafetensors(await readFile(path.join(saved, name)), name);
    const model = await read('model.safetensors');
    const optimizer = await read('optimizer.safetensors');
    const names = layout.trainable.map((array) => array.name);
    expect([...model.keys()]).toEqual([...names, ...layout.statistics.map((array) => array.name)]);
    expect([...optimizer.keys()]).toEqual(names);
    for (const { name, shape, offset, size } of layout.trainable) {
      const weights = state.weights.slice(offset, offset + size);
      const velocity = state.velocity.slice(offset, offset + size);
      expect(model.get(name)).toEqual({ name, shape, values: weights });
      expect(optimizer.get(name)).toEqual({ name, shape, values: velocity });
    }
    for (const { name, shape, offset, size } of layout.statistics) {
      const values = state.movingStatistics.slice(offset, offset + size);
      expect(model.get(name)).toEqual({ name, shape, values });
    }
  });

  it('tells in state.json what it is and what its files must be', async () => {
    const state = stateAt(3);
    const saved = await saveCheckpoint(await newWriter(), state, progress);
    const files: Record<string, { bytes: number; sha256: string }> = {};
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      const bytes = await readFile(path.join(saved, name));
      files[name] = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
    }
    expect(await readState(saved)).toEqual({
      lockstepVersion,
      step: 3,
      weightsSha256: weightsSha256(state.weights, state.movingStatistics),
      layoutHash: layoutHash(layout),
      config,
      classNames,
      shardHashes,
      progress,
      files,
    });
  });

  it('has its hashes as sha256sum writes and checks them', async () => {
    const saved = await saveCheckpoint(await newWriter(), stateAt(3), progress);
    const lines = ['model.safetensors', 'optimizer.safetensors', 'state.json'].map(async (name) => {
      const hash = createHash('sha256').update(await readFile(path.join(saved, name)));
      return `${hash.digest('hex')}  ${name}\n`;
    });
    expect(await readFile(path.join(saved, 'SHA256SUMS'), 'utf8')).toBe((await Promise.all(lines)).join(''));
  });

  it('is what latest points at, by a relative link', async () => {
    const writer = await newWriter();
    const latest = path.join(writer.directory, 'latest');
    await saveCheckpoint(writer, stateAt(1), progress);
    expect(await readlink(latest)).toBe('step-00000001');
    await saveCheckpoint(writer, stateAt(2), progress);
    expect(await readlink(latest)).toBe('step-00000002');
    expect((await readState(latest))['step']).toBe(2);
  });

  it('replaces one of the same step, whatever was in it', async () => {
    const writer = await newWriter();
    const saved = await saveCheckpoint(
      writer,
      { ...stateAt(5), weights: new Float32Array(layout.trainableSize) },
      progress,
    );
    await writeFile(path.join(saved, 'stray'), '');
    await saveCheckpoint(writer, stateAt(5), progress);
    expect(await readdir(saved)).not.toContain('stray');
    const { weights, movingStatistics } = stateAt(5);
    expect((await readState(saved))['weightsSha256']).toBe(weightsSha256(weights, movingStatistics));
  });

  it('replaces what an interrupted one left behind, and leaves nothing aside', async () => {
    const writer = await newWriter();
    const partial = path.join(writer.directory, 'step-00000007.partial');
    await mkdir(partial, { recursive: true });
    await writeFile(path.join(partial, 'stray'), 'half a file');
    await writeFile(path.join(writer.directory, 'latest.partial'), '');
    const saved = await saveCheckpoint(writer, stateAt(7), progress);
    expect((await readdir(writer.directory)).toSorted()).toEqual(['latest', 'step-00000007']);
    expect(await readdir(saved)).not.toContain('stray');
  });
});

describe('listCheckpoints', () => {
  it('gives whole checkpoints, oldest first', async () => {
    const writer = await newWriter();
    for (const step of [10, 9, 351]) await saveCheckpoint(writer, stateAt(step), progress);
    await mkdir(path.join(writer.directory, 'step-00000400.partial'));
    expect(await listCheckpoints(writer.directory)).toEqual(
      [9, 10, 351].map((step) => path.join(writer.directory, checkpointName(step))),
    );
  });

  it('gives none where there is no folder', async () => {
    expect(await listCheckpoints(path.join(await temporaryFolder(), 'nothing'))).toEqual([]);
  });

  it('tells when the folder is a file', async () => {
    const file = path.join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    expect((await stat(file)).isFile()).toBe(true);
    await expect(listCheckpoints(file)).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});
