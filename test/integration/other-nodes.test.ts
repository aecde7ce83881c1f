// Runs the tests of the wasm engines with the newest other version of Node.js. They include wasm-fma, which this version may
// lack. same-bits.test.ts trains with all versions.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { startCommand } from '../support/cli.js';
import { otherNodesFor } from '../support/other-nodes.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
const files = [
  'test/worker/engines/wasm/engine.test.ts',
  'test/worker/engines/wasm/gradient.test.ts',
  'test/worker/engines/wasm/whole-model.test.ts',
  'test/cli/machine/doctor/self-test.test.ts',
];

const newest = otherNodesFor('the tests of the wasm engines').at(-1);

it.skipIf(newest === undefined)('the tests of the wasm engines pass with another version of Node.js', async () => {
  const tests = startCommand([newest!, vitest, 'run', '--root', root, '--maxWorkers=1', ...files]);
  const status = await tests.exited;
  if (status !== 0) throw new Error(tests.output());
  expect(tests.output()).not.toContain('Skipping wasm-fma');
});
