// lockstep doctor as a person runs it, on this machine with something of it spoilt.
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { lockstepVersion } from '../../../shared/version.js';
import type { Engine } from '../../../worker/engine.js';
import { runCli } from '../../support/cli.js';
import { temporaryFolder } from '../../support/temporary-folder.js';
import { openTensorFlowOrReason } from '../../support/tensorflow.js';

const opened = await openTensorFlowOrReason();

const output = z.object({
  lockstepVersion: z.string(),
  ok: z.boolean(),
  sections: z.array(
    z.object({
      title: z.string(),
      checks: z.array(
        z.object({ about: z.string(), mark: z.string(), says: z.string(), remedy: z.string().optional() }),
      ),
    }),
  ),
});

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

/** Runs it in a folder of its own, with a home of its own unless another is given. */
async function doctor(args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  const places = ['--cache', path.join(folder, 'cache'), '--run-dir', path.join(folder, 'runs')];
  const env = { LOCKSTEP_HOME: path.join(folder, 'home'), LOCKSTEP_TOKEN: '', ...environment };
  const result = await runCli(['doctor', '--json', ...places, ...args], env);
  const { sections, ...rest } = output.parse(JSON.parse(result.output));
  const checks = sections.flatMap((section) => section.checks);
  return { status: result.status, ...rest, about: (name: string) => checks.filter((check) => check.about === name) };
}

/** A package as setup-tensorflow leaves it, with something else in the place of its native part. */
function installBinding(binding: string): void {
  const place = path.join(folder, 'home', 'tensorflow-cpu', 'node_modules', '@tensorflow', 'tfjs-node');
  mkdirSync(path.join(place, 'lib', 'napi-v8'), { recursive: true });
  writeFileSync(path.join(place, 'package.json'), '{ "version": "4.22.0" }');
  writeFileSync(path.join(place, 'lib', 'napi-v8', 'tfjs_binding.node'), binding);
}

/** A folder for PATH with this machine's programs of these names alone. */
function pathWith(names: readonly string[], scripts: Readonly<Record<string, string>> = {}): string {
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  for (const name of names) {
    const found = process.env['PATH']!.split(':').map((place) => path.join(place, name));
    symlinkSync(
      found.find((file) => readFileOrNull(file) !== null)!,
      path.join(bin, name),
    );
  }
  for (const [name, text] of Object.entries(scripts)) {
    writeFileSync(path.join(bin, name), `#!/bin/sh\n${text}\n`);
    chmodSync(path.join(bin, name), 0o755);
  }
  return bin;
}

function readFileOrNull(file: string): Buffer | null {
  try {
    return readFileSync(file);
  } catch {
    return null;
  }
}

describe.runIf(process.platform === 'linux')('lockstep doctor', () => {
  it('is content where one engine works, and says how to get the other', async () => {
    const { status, ok, lockstepVersion: version, about } = await doctor([]);
    expect([status, ok, version]).toEqual([0, true, lockstepVersion]);
    expect(about('wasm')[0]).toMatchObject({ mark: 'ok' });
    expect(about('Node')[0]).toMatchObject({ mark: 'ok', says: expect.stringContaining(process.versions.node) });
    expect(about('cache of shards')[0].says).toContain(path.join(folder, 'cache'));
    if (about('tensorflow')[0].mark === 'ok') return; // npm installed one that loads
    expect(about('tensorflow')[0]).toMatchObject({
      mark: 'warning',
      remedy: expect.stringContaining('lockstep setup-tensorflow'),
    });
  });

  it('fails where TensorFlow was asked for and its binding is broken, with the command that mends it', async (context) => {
    installBinding('not a library');
    const { status, about } = await doctor(['--engine', 'tensorflow']);
    if (about('tensorflow')[0].mark === 'ok') context.skip('npm installed a TensorFlow that loads');
    expect(status).toBe(1);
    expect(about('tensorflow')[0]).toMatchObject({
      mark: 'problem',
      says: expect.stringMatching(/does not load\n@tensorflow\/tfjs-node in .*: its native binding is damaged/),
      remedy: 'lockstep setup-tensorflow --cpu --force',
    });
  });

  it('reads GPUs from nvidia-smi, and names what setup-tensorflow would miss: a PATH without g++', async (context) => {
    const smi = 'echo "0, NVIDIA H200, 470.82.01, 143771 MiB"';
    const { status, about } = await doctor([], { PATH: pathWith(['node', 'npm', 'python3'], { 'nvidia-smi': smi }) });
    expect(status).toBe(0);
    expect(about('GPUs')[0]).toMatchObject({
      mark: 'warning',
      says: '0: NVIDIA H200, 143771 MiB\ndriver 470.82.01: too old for CUDA 12',
    });
    if (about('tensorflow')[0].mark === 'ok') context.skip('npm installed a TensorFlow that loads');
    expect(about('setup-tensorflow')).toContainEqual({
      about: 'setup-tensorflow',
      mark: 'warning',
      says: 'needs g++',
      remedy: expect.stringContaining('apt-get install g++'),
    });
  });

  it('finds an installation whose TensorFlow is gone', async (context) => {
    if (typeof opened === 'string') context.skip(opened);
    // The real binding, which looks for its libraries beside itself.
    const { loadTensorFlow } = await import('../../../worker/engines/tensorflow/load.js');
    const binding = readFileSync(path.join(loadTensorFlow(1).folder, 'lib', 'napi-v8', 'tfjs_binding.node'));
    installBinding('');
    writeFileSync(
      path.join(folder, 'home/tensorflow-cpu/node_modules/@tensorflow/tfjs-node/lib/napi-v8/tfjs_binding.node'),
      binding,
    );
    const { about } = await doctor(['--engine', 'tensorflow']);
    expect(about('tensorflow')[0]).toMatchObject({
      mark: 'problem',
      says: expect.stringMatching(/libtensorflow\S* is missing, which is TensorFlow itself/),
      remedy: 'lockstep setup-tensorflow --cpu --force',
    });
  });

  it('computes with the TensorFlow that is here', async (context) => {
    if (typeof opened === 'string') context.skip(opened);
    const { status, about } = await doctor(['--engine', 'tensorflow'], {
      LOCKSTEP_HOME: process.env['LOCKSTEP_HOME'] ?? '',
    });
    expect(status).toBe(0);
    expect(about('tensorflow')[0].says).toContain((opened as Engine).identity.fingerprint);
  });

  it('fails where a run cannot be kept, in a table for people', async () => {
    writeFileSync(path.join(folder, 'runs'), '');
    const runDir = path.join(folder, 'runs', 'first');
    const { status, output: text } = await runCli(['doctor', '--run-dir', runDir], { LOCKSTEP_HOME: folder });
    expect(status).toBe(1);
    expect(text).toMatch(/^lockstep \d+\.\d+\.\d+ · doctor\n\nThis machine\n {2}ok {7}Node /);
    expect(text).toMatch(/\n {2}problem {2}runs +\S+\/first: a part of this path is a file, not a folder\n +-> /);
    expect(text).toMatch(/\n1 problem, \d warnings?\n$/);
  });

  it('fails where the coordinator does not answer; for its worker the folder of runs does not matter', async () => {
    writeFileSync(path.join(folder, 'runs'), '');
    // Port 9 is discard's, which nobody serves here.
    const { status, about } = await doctor(['--run-dir', path.join(folder, 'runs', 'first'), 'ws://127.0.0.1:9']);
    expect(status).toBe(1);
    expect(about('runs')[0].mark).toBe('warning');
    expect(about('answers')[0]).toMatchObject({
      mark: 'problem',
      says: 'nothing listens on 127.0.0.1:9',
      remedy: expect.stringContaining('--host 0.0.0.0'),
    });
  });
});
