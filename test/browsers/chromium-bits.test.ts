// The wasm engines compute in a page of Chromium what they compute in Node.js, with each of V8's compilers.
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import type { WasmEngineName } from '../../worker/engines/wasm/wasm-engine.js';
import { openChromiumOrReason, openPage } from '../support/chromium.js';
import { servePrograms, type ServedPrograms } from '../support/served-programs.js';
import type { PageResult } from '../support/wasm-page.js';
import { hashOfBatches, resNet20Sha256 } from '../worker/engines/wasm/golden-bits.js';

const modules = [
  ['wasm', 'kernels.wasm'],
  ['wasm-fma', 'kernels-fma.wasm'],
] as const satisfies [WasmEngineName, string][];

let served: ServedPrograms;
beforeAll(async () => {
  const folder = new URL('../../dist/worker/engines/wasm/', import.meta.url);
  const kernels = modules.map(async ([, file]) => [`/${file}`, await readFile(new URL(file, folder))] as const);
  const routes = Object.fromEntries(await Promise.all(kernels));
  served = await servePrograms({ 'wasm-page': 'test/support/wasm-page.ts' }, { routes });
});
afterAll(() => served.close());

it.for([
  ['both compilers', '', true],
  ['only the optimizing compiler', '--no-liftoff', true],
  ['only the baseline compiler', '--liftoff-only', true],
  ['no fused multiply-add', '--no-enable-fma3', false],
] as const)('a step of ResNet-20 has the golden hash in Chromium with %s', async ([, v8Flag, canFuse], context) => {
  const browser = await openChromiumOrReason('the wasm engines in Chromium', [`--js-flags=${v8Flag}`]);
  if (typeof browser === 'string') {
    context.skip(browser);
    return;
  }
  onTestFinished(() => browser.close());
  const { page, problems } = await openPage(browser, { width: 300, height: 200 });
  await page.goto(served.url);
  for (const [name, file] of modules) {
    const computed = await page.evaluate<PageResult>(
      `import('/wasm-page.js').then(({ computeInPage }) => computeInPage('/${file}'))`,
    );
    const fuses = name === 'wasm-fma' && canFuse;
    expect(computed.isFused).toBe(fuses);
    const hash = hashOfBatches(computed.results.map((arrays) => arrays.map((array) => Float32Array.from(array))));
    expect(hash === resNet20Sha256[name]).toBe(name === 'wasm' || fuses);
  }
  expect(problems).toEqual([]);
});
