// The probe is tested with the wasm engines, whose bits are the same on every machine.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { resnet } from '../../../shared/network/networks/resnet.js';
import type { Engine, EngineModel } from '../../../worker/engine.js';
import { openWasmEngine } from '../../../worker/engines/wasm/wasm-engine.js';
import { probeModel } from '../../../worker/measurement/probe-model.js';

const spec = { depth: 8, initialFilters: 4, shortcut: 'projection', convBias: true, bnEpsilon: 0.001 } as const;
const layout = layoutNetwork(resnet(spec), cifar10Format);
let engine: Engine;
beforeAll(async () => {
  engine = await openWasmEngine({ threads: 1 });
});
afterAll(() => engine.close());

async function probe(images: number, change: (model: EngineModel) => EngineModel = (model) => model): Promise<string> {
  const model = await engine.createModel(layout, 'imagenet');
  const sha256 = await probeModel(change(model), layout, images);
  model.dispose();
  return sha256;
}

it('a probe has the same hash in every model, and depends on the number of images', async () => {
  const first = await probe(5);
  expect(first).toMatch(/^[0-9a-f]{64}$/);
  expect(await probe(5)).toBe(first);
  expect(await probe(6)).not.toBe(first);
});

it('shows every array of the network a gradient that is not 0', async () => {
  let gradient = new Float32Array();
  await probe(5, (model) => ({
    ...model,
    setWeights: (...weights) => model.setWeights(...weights),
    dispose: () => model.dispose(),
    evaluate: (batch) => model.evaluate(batch),
    async computeSlice(batch) {
      const result = await model.computeSlice(batch);
      gradient = result.gradientSum.slice();
      return result;
    },
  }));
  // The bias of a convolution before a batch norm has no effect.
  const isWithoutEffect = (name: string) => /conv\d*\/bias$|shortcut\/bias$/.test(name);
  const vanishing = layout.weights.filter(({ offset, size, name }) => {
    const values = gradient.subarray(offset, offset + size);
    return !isWithoutEffect(name) && values.every((value) => Math.abs(value) < 1e-6);
  });
  expect(vanishing.map(({ name }) => name)).toEqual([]);
});

it('reveals a change of the last bit of one gradient', async () => {
  const changed = await probe(5, (model) => ({
    setWeights: (...weights) => model.setWeights(...weights),
    dispose: () => model.dispose(),
    evaluate: (batch) => model.evaluate(batch),
    async computeSlice(batch) {
      const result = await model.computeSlice(batch);
      new Int32Array(result.gradientSum.buffer, result.gradientSum.byteOffset, 1)[0] ^= 1;
      return result;
    },
  }));
  expect(changed).not.toBe(await probe(5));
});
