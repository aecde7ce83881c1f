import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LockstepError } from '../../../../shared/errors.js';
import { installFolder, lockstepHome } from '../../../../worker/engines/tensorflow/install-folder.js';
import { loadTensorFlow } from '../../../../worker/engines/tensorflow/load.js';

describe('lockstepHome', () => {
  it('is LOCKSTEP_HOME, else XDG_DATA_HOME/lockstep, else ~/.local/share/lockstep', () => {
    expect(lockstepHome({ LOCKSTEP_HOME: '/a', XDG_DATA_HOME: '/b' })).toBe('/a');
    expect(lockstepHome({ LOCKSTEP_HOME: 'a' })).toBe(join(process.cwd(), 'a'));
    expect(lockstepHome({ XDG_DATA_HOME: '/b' })).toBe('/b/lockstep');
    expect(lockstepHome({})).toMatch(/\/\.local\/share\/lockstep$/);
  });
});

describe('loading TensorFlow', () => {
  let home: string;

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'lockstep-home-'));
  });
  afterEach(() => rmSync(home, { recursive: true }));

  /** Installs a package as npm does, with `binding` as the content of its native binding, or without one if null. */
  function installPackage(flavor: 'gpu' | 'cpu', name: string, binding: string | null): void {
    const folder = join(installFolder(home, flavor), 'node_modules', '@tensorflow', name);
    mkdirSync(join(folder, 'lib', 'napi-v8'), { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "version": "4.22.0" }');
    if (binding !== null) writeFileSync(join(folder, 'lib', 'napi-v8', 'tfjs_binding.node'), binding);
  }

  function failureToLoad(): LockstepError | null {
    try {
      loadTensorFlow(1, { LOCKSTEP_HOME: home });
      return null;
    } catch (error) {
      if (error instanceof LockstepError) return error;
      throw error;
    }
  }

  it('reports why each location fails, and which command installs TensorFlow', (context) => {
    installPackage('gpu', 'tfjs-node-gpu', 'not a library');
    installPackage('cpu', 'tfjs-node', null);
    const failure = failureToLoad();
    if (failure === null) context.skip('npm has installed a TensorFlow that can be loaded');
    expect(failure?.code).toBe('no-engine');
    const message = failure?.message;
    expect(message).toMatch(
      /@tensorflow\/tfjs-node-gpu in .*tensorflow-gpu: .*(too short|invalid ELF|not a mach-o|dlopen)/,
    );
    expect(message).toMatch(/@tensorflow\/tfjs-node in .*tensorflow-cpu: its native binding is missing/);
    expect(message).toContain('@tensorflow/tfjs-node-gpu installed by npm: ');
    expect(message).toContain('lockstep setup-tensorflow');
    expect(message).toContain('node dist/cli.js setup-tensorflow');
  });
});
