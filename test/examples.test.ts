// Compiles the programs in examples/ against the package and runs them as a user would. test/browsers/ has the one for browsers.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { projectWithPackage } from './support/installed-package.js';

const folder = fileURLToPath(new URL('../examples/', import.meta.url));
const names = readdirSync(folder).flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -'.ts'.length)] : []));
const { inProject, compile } = projectWithPackage();

/** Runs a compiled example and returns its standard output. */
function run(name: string, ...args: string[]): string {
  const ran = spawnSync(process.execPath, [`${name}.js`, ...args], { cwd: inProject(), encoding: 'utf8' });
  expect(ran.stderr).toBe('');
  expect(ran.status).toBe(0);
  return ran.stdout;
}

describe('the examples', () => {
  it('compile with strict options', () => {
    const programs = names.map((name) => [name, readFileSync(`${folder}${name}.ts`, 'utf8')]);
    expect(names).toEqual(['custom-engine', 'embed-worker', 'follow-events', 'predict', 'train']);
    expect(compile(Object.fromEntries(programs))).toBe('');
  });

  it('train a model, and classify an image with its checkpoint', async () => {
    const trained = run('train');
    // 1,000 images, 10% of them for validation: 9 steps of 100 images per epoch, for 2 epochs.
    expect(trained).toMatch(/^18 steps; test loss \d/);
    expect(trained).toMatch(/weights: [0-9a-f]{64}\n/);
    const runDirectory = /report\.json: (.+)\n/.exec(trained)![1];
    await sharp({ create: { width: 40, height: 32, channels: 3, background: 'gray' } }).toFile(inProject('gray.png'));
    const predicted = run('predict', runDirectory, 'gray.png');
    expect(predicted).toMatch(/^resnet8 after 18 steps, \d+ weights\ngray\.png: (?:[a-z ]+ [\d.]+%(?:, )?){3}\n$/);
  });

  it('follow the events of a run', () => {
    const followed = run('follow-events');
    expect(followed.match(/joined, computing on/g)).toHaveLength(2);
    expect(followed).toMatch(/^epoch 2: validation accuracy [\d.]+$/m);
    expect(followed).toMatch(/^checkpoint after step 18: runs\/.+$/m);
    expect(followed).toMatch(/^training loss: [\d.]+ in the first step, [\d.]+ in the last$/m);
  });

  it('train with a custom engine to a test accuracy above 50%', () => {
    const [, accuracy, exact] = /test accuracy ([\d.]+), .* exact: (\w+)/.exec(run('custom-engine'))!;
    expect(Number(accuracy)).toBeGreaterThan(0.5);
    expect(exact).toBe('true');
  });
});
