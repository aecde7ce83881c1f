// lockstep doctor, run as a user would, on this machine with some parts made to fail.
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { lockstepVersion } from '../../../shared/version.js';
import type { Engine } from '../../../worker/engine.js';
import { runCli } from '../../support/cli.js';
import { temporaryFolder } from '../../support/temporary-folder.js';
import { openTensorFlowOrReason } from '../../support/tensorflow.js';
import { openAvailableWasmEngines } from '../../support/wasm-engines.js';

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

/** Runs lockstep doctor with the test's run directory and, unless the environment sets it, the test's LOCKSTEP_HOME. */
async function doctor(args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  const folders = ['--cache', path.join(folder, 'cache'), '--run-dir', path.join(folder, 'runs')];
  const env = { LOCKSTEP_HOME: path.join(folder, 'home'), LOCKSTEP_TOKEN: '', ...environment };
  const result = await runCli(['doctor', '--json', ...folders, ...args], env);
  const { sections, ...rest } = output.parse(JSON.parse(result.output));
  const checks = sections.flatMap((section) => section.checks);
  return { status: result.status, ...rest, about: (name: string) => checks.filter((check) => check.about === name) };
}

/** Installs a package as setup-tensorflow does, but with this content in place of the native library. */
function installBinding(binding: string): void {
  const packageFolder = path.join(folder, 'home', 'tensorflow-cpu', 'node_modules', '@tensorflow', 'tfjs-node');
  mkdirSync(path.join(packageFolder, 'lib', 'napi-v8'), { recursive: true });
  writeFileSync(path.join(packageFolder, 'package.json'), '{ "version": "4.22.0" }');
  writeFileSync(path.join(packageFolder, 'lib', 'napi-v8', 'tfjs_binding.node'), binding);
}

/** Creates a folder for PATH that contains only the named programs of this machine, and the scripts. */
function pathWith(names: readonly string[], scripts: Readonly<Record<string, string>> = {}): string {
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  for (const name of names) {
    const found = process.env['PATH']!.split(':').map((each) => path.join(each, name));
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
  it('succeeds if one engine works, and explains how to install the other', async () => {
    const { status, ok, lockstepVersion: version, about } = await doctor([]);
    expect([status, ok, version]).toEqual([0, true, lockstepVersion]);
    expect(about('wasm')[0]).toMatchObject({ mark: 'ok' });
    const wasmEngines = await openAvailableWasmEngines();
    expect(about('wasm-fma')[0].mark).toBe(wasmEngines.length === 2 ? 'ok' : 'warning');
    expect(about('Node.js')[0]).toMatchObject({ mark: 'ok', says: expect.stringContaining(process.versions.node) });
    expect(about('shard cache')[0].says).toContain(path.join(folder, 'cache'));
    if (about('tensorflow')[0].mark === 'ok') return; // npm installed a binding that loads
    expect(about('tensorflow')[0]).toMatchObject({
      mark: 'warning',
      remedy: expect.stringContaining('lockstep setup-tensorflow'),
    });
  });

  it('fails for --engine tensorflow if its binding is broken, with the command that repairs it', async (context) => {
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

  it('reads GPUs from nvidia-smi, and names missing prerequisites of setup-tensorflow, such as g++', async (context) => {
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

  it('detects an installation without the TensorFlow library', async (context) => {
    if (typeof opened === 'string') context.skip(opened);
    // The real binding looks for the TensorFlow library in its own folder.
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

  it('computes with the installed TensorFlow', async (context) => {
    if (typeof opened === 'string') context.skip(opened);
    const { status, about } = await doctor(['--engine', 'tensorflow'], {
      LOCKSTEP_HOME: process.env['LOCKSTEP_HOME'] ?? '',
    });
    expect(status).toBe(0);
    expect(about('tensorflow')[0].says).toContain((opened as Engine).identity.fingerprint);
  });

  it("computes with TensorFlow's kernels for CPUs without AVX-512", async (context) => {
    if (typeof opened === 'string') context.skip(opened);
    const { about } = await doctor(['--engine', 'tensorflow'], {
      LOCKSTEP_HOME: process.env['LOCKSTEP_HOME'] ?? '',
      ONEDNN_MAX_CPU_ISA: 'AVX2',
    });
    expect(about('tensorflow')[0]).toMatchObject({
      mark: 'ok',
      says: expect.stringContaining('ONEDNN_MAX_CPU_ISA=AVX2'),
    });
  });

  it('fails if the folder for runs is not writable, and prints a human-readable table', async () => {
    writeFileSync(path.join(folder, 'runs'), '');
    const runDir = path.join(folder, 'runs', 'first');
    const { status, output: text } = await runCli(['doctor', '--run-dir', runDir], { LOCKSTEP_HOME: folder });
    expect(status).toBe(1);
    expect(text).toMatch(/^lockstep \d+\.\d+\.\d+ · doctor\n\nThis machine\n {2}ok {7}Node\.js /);
    expect(text).toMatch(/\n {2}problem {2}runs +\S+\/first: part of this path is a file, not a folder\n +-> /);
    expect(text).toMatch(/\n1 problem, \d warnings?\n$/);
  });

  it('fails if the coordinator does not respond, and only warns about the folder for runs', async () => {
    writeFileSync(path.join(folder, 'runs'), '');
    // Nothing listens on port 9 (discard).
    const { status, about } = await doctor(['--run-dir', path.join(folder, 'runs', 'first'), 'ws://127.0.0.1:9']);
    expect(status).toBe(1);
    expect(about('runs')[0].mark).toBe('warning');
    expect(about('connection')[0]).toMatchObject({
      mark: 'problem',
      says: 'nothing listens on 127.0.0.1:9',
      remedy: expect.stringContaining('--host 0.0.0.0'),
    });
  });
});
