import { createHash } from 'node:crypto';
import { appendFile, copyFile, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { saveCheckpoint, sumsText } from '../../../coordinator/run/checkpoint.js';
import { loadCheckpoint } from '../../../coordinator/run/load-checkpoint.js';
import { resolveConfig } from '../../../shared/config/config.js';
import { weightsSha256 } from '../../../shared/network/layout-hash.js';
import { layoutModel } from '../../../shared/network/layout.js';
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
import { perPixelMean, standardize } from '../../support/random-batch.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const files = ['model.safetensors', 'optimizer.safetensors', 'state.json', 'SHA256SUMS'];

/** A folder with the checkpoints of steps 1, 2 and 3, and their paths. */
async function threeCheckpoints() {
  const writer = await newWriter();
  const paths: string[] = [];
  for (const step of [1, 2, 3]) paths.push(await saveCheckpoint(writer, stateAt(step), progress));
  return { directory: writer.directory, paths };
}

describe('a checkpoint', () => {
  it('comes back as it was saved', async () => {
    const saved = await saveCheckpoint(await newWriter(), stateAt(7), progress);
    const { weights, movingStatistics } = stateAt(7);
    expect(await loadCheckpoint(saved)).toEqual({
      ...stateAt(7),
      path: saved,
      config,
      layout,
      preprocessing: 'imagenet',
      classNames,
      shardHashes,
      progress,
      weightsSha256: weightsSha256(weights, movingStatistics),
      lockstepVersion,
    });
  });

  it('comes back with what its preprocessing was measured to be, or is refused', async () => {
    const writer = await newWriter();
    const measured = { ...writer, config: resolveConfig({ ...config, preprocessing: 'per-pixel-mean' }) };
    const saved = await saveCheckpoint({ ...measured, preprocessing: perPixelMean() }, stateAt(3), progress);
    expect((await loadCheckpoint(saved)).preprocessing).toEqual(perPixelMean());
    const without = await saveCheckpoint(measured, stateAt(4), progress);
    await expect(loadCheckpoint(without)).rejects.toThrow(
      /preprocessing\.safetensors is not a sound checkpoint: it is missing/,
    );
    const ofAnother = await saveCheckpoint({ ...measured, preprocessing: standardize() }, stateAt(5), progress);
    await expect(loadCheckpoint(ofAnother)).rejects.toThrow(/has no subtract of shape \[32,32,3\]/);
  });

  it('is found by its folder, by latest, and by its run, whose newest it is', async () => {
    const { directory, paths } = await threeCheckpoints();
    const pathOf = async (location: string) => (await loadCheckpoint(location)).path;
    expect(await pathOf(paths[0])).toBe(paths[0]);
    expect(await pathOf(path.join(directory, 'latest'))).toBe(paths[2]);
    expect(await pathOf(directory)).toBe(paths[2]);
    expect(await pathOf(path.dirname(directory))).toBe(paths[2]);
  });

  it('is found by its run where a crash came between the folder and the link, or left half of the next one', async () => {
    const { directory, paths } = await threeCheckpoints();
    await rm(path.join(directory, 'latest'));
    await symlink('step-00000002', path.join(directory, 'latest'));
    await mkdir(path.join(directory, 'step-00000004.partial'));
    expect((await loadCheckpoint(path.dirname(directory))).path).toBe(paths[2]);
  });

  it('may lie anywhere, under any name', async () => {
    const { paths } = await threeCheckpoints();
    const elsewhere = path.join(await temporaryFolder(), 'the good one');
    await rename(paths[1], elsewhere);
    expect(await loadCheckpoint(elsewhere)).toMatchObject({ path: elsewhere, step: 2 });
  });

  it.each(['nothing', 'nothing/below', 'file', 'empty', 'dangling'])(
    'that is not there (%s) is no-checkpoint',
    async (name) => {
      const folder = await temporaryFolder();
      await writeFile(path.join(folder, 'file'), '');
      await mkdir(path.join(folder, 'empty'));
      await symlink('step-00000009', path.join(folder, 'dangling'));
      await expect(loadCheckpoint(path.join(folder, name))).rejects.toMatchObject({
        code: 'no-checkpoint',
        message: expect.stringContaining(folder),
      });
    },
  );
});

describe('a damaged checkpoint is refused, naming the file, the damage and the sound one before it:', () => {
  it.each(files)('one flipped bit anywhere in %s', async (name) => {
    const { paths } = await threeCheckpoints();
    const file = path.join(paths[2], name);
    const sound = await readFile(file);
    // The first byte, the last, and some between.
    const places = [0, 0.1, 0.35, 0.6, 0.85, 1].map((part) => Math.round(part * (sound.length - 1)));
    for (const [turn, place] of places.entries()) {
      const damaged = Buffer.from(sound);
      damaged[place] ^= 1 << turn;
      await writeFile(file, damaged);
      const refusal = await loadCheckpoint(paths[2]).catch((error: unknown) => error);
      expect(refusal).toMatchObject({ code: 'bad-checkpoint' });
      expect(String(refusal)).toContain(name);
      expect(String(refusal)).toContain(`the one before it is sound: ${paths[1]}`);
    }
    await writeFile(file, sound);
    expect(await loadCheckpoint(paths[2])).toMatchObject({ step: 3 });
  });

  it.each(files)('%s cut off, longer than written, empty, or missing', async (name) => {
    const { paths } = await threeCheckpoints();
    const file = path.join(paths[2], name);
    const aside = path.join(path.dirname(paths[2]), 'aside');
    await copyFile(file, aside);
    const damages: (() => Promise<void>)[] = [
      async () => truncate(file, (await readFile(file)).length - 1),
      () => appendFile(file, '\0'),
      () => truncate(file, 0),
      () => rm(file),
    ];
    for (const damage of damages) {
      await copyFile(aside, file);
      await damage();
      await expect(loadCheckpoint(path.dirname(paths[2]))).rejects.toMatchObject({
        code: 'bad-checkpoint',
        message: expect.stringContaining(name),
      });
    }
  });

  it('says how many bytes there are and were', async () => {
    const { paths } = await threeCheckpoints();
    const file = path.join(paths[2], 'model.safetensors');
    const { length } = await readFile(file);
    await truncate(file, 100);
    await expect(loadCheckpoint(paths[2])).rejects.toThrow(
      `${file} is not a sound checkpoint: it has 100 bytes and was written with ${length}; ` +
        `the one before it is sound: ${paths[1]}`,
    );
  });

  it('one that was never finished', async () => {
    const { paths } = await threeCheckpoints();
    await rename(paths[2], `${paths[2]}.partial`);
    await expect(loadCheckpoint(`${paths[2]}.partial`)).rejects.toThrow(
      `${paths[2]}.partial is not a sound checkpoint: it was never finished: whoever wrote it was stopped in the middle; ` +
        `the one before it is sound: ${paths[1]}`,
    );
  });

  it('and if that one is damaged too, the one before that, or none', async () => {
    const { paths } = await threeCheckpoints();
    await rm(path.join(paths[2], 'model.safetensors'));
    await truncate(path.join(paths[1], 'optimizer.safetensors'), 1);
    await expect(loadCheckpoint(paths[2])).rejects.toThrow(`the one before it is sound: ${paths[0]}`);
    await rm(path.join(paths[0], 'state.json'));
    await expect(loadCheckpoint(paths[2])).rejects.toThrow(
      'model.safetensors is not a sound checkpoint: it is missing; there is no sound one before it',
    );
  });
});

describe('a checkpoint of another model is refused', () => {
  async function ofDepth14(): Promise<string> {
    const other = layoutModel(resolveConfig({ ...config, depth: 14 }));
    return saveCheckpoint(
      { ...(await newWriter()), layout: other },
      {
        step: 1,
        weights: new Float32Array(other.trainableSize),
        velocity: new Float32Array(other.trainableSize),
        movingStatistics: new Float32Array(other.statisticsSize),
      },
      progress,
    );
  }

  it('when its arrays are not those of its configuration', async () => {
    const saved = await ofDepth14();
    await expect(loadCheckpoint(saved)).rejects.toMatchObject({
      code: 'bad-checkpoint',
      message: expect.stringContaining('state.json is not a sound checkpoint: it is of another model'),
    });
  });

  it('when a file of another one lies in it', async () => {
    const saved = await saveCheckpoint(await newWriter(), stateAt(1), progress);
    await copyFile(path.join(await ofDepth14(), 'model.safetensors'), path.join(saved, 'model.safetensors'));
    await expect(loadCheckpoint(saved)).rejects.toThrow(/model\.safetensors .* bytes and was written with/);
  });

  it('or of another version, which is named by what it does not know', async () => {
    const saved = await saveCheckpoint(await newWriter(), stateAt(1), progress);
    const file = path.join(saved, 'state.json');
    const told = JSON.parse(await readFile(file, 'utf8')) as { config: object };
    const json = JSON.stringify({ ...told, config: { ...told.config, warmUp: 5 } });
    await writeFile(file, json);
    const sums = path.join(saved, 'SHA256SUMS');
    const line = sumsText({ 'state.json': { bytes: 0, sha256: createHash('sha256').update(json).digest('hex') } });
    await writeFile(sums, (await readFile(sums, 'utf8')).replace(/^.*state\.json\n/m, line));
    await expect(loadCheckpoint(saved)).rejects.toThrow(/written by another version of lockstep.*unknown key "warmUp"/);
  });
});
