// Whatever a configuration says, the import returns a valid graph or throws a LockstepError.
import { writeFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { buildGraph } from '../../../inference/import/build-graph.js';
import { importNetwork } from '../../../inference/import/import-network.js';
import { flattenModel } from '../../../inference/import/keras-model.js';
import type { VariableReader } from '../../../inference/import/model-file.js';
import { LockstepError } from '../../../shared/errors.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { sizeOf } from '../../../shared/network/shapes.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { applied, functional, kerasFile, layer, rising, sequential } from '../../support/keras-file.js';

const inFolder = folderPerFile();

const reader: VariableReader = {
  read: ({ shape }) => new Float32Array(Math.min(sizeOf(shape), 1000)).fill(1),
  close: () => undefined,
};

const conv = (name: string, more: object = {}) => layer('Conv2D', name, { filters: 4, kernel_size: [3, 3], ...more });
const inner = functional(
  [8, 8, 4],
  'squeezed',
  applied(layer('DepthwiseConv2D', 'depthwise', { kernel_size: 3, padding: 'same', activation: 'silu' }), 'images'),
  applied(layer('GlobalAveragePooling2D', 'factor', { keepdims: true }), 'depthwise'),
  applied(layer('Multiply', 'squeezed'), 'factor', 'depthwise'),
);
const models = [
  functional(
    [8, 8, 3],
    'logits',
    applied(layer('Normalization', 'scaled', { axis: [-1], mean: [[1, 2, 3]], variance: null }), 'images'),
    applied(
      conv('conv', { padding: 'same', groups: 1, kernel_initializer: { class_name: 'HeNormal', config: {} } }),
      'scaled',
    ),
    applied({ ...inner, config: { ...inner.config, name: 'inner' } }, 'conv'),
    applied(layer('Add', 'add'), 'conv', 'inner'),
    applied(layer('Concatenate', 'concat', { axis: -1 }), 'add', 'conv'),
    applied(
      layer('ZeroPadding2D', 'pad', {
        padding: [
          [1, 0],
          [0, 1],
        ],
      }),
      'concat',
    ),
    applied(layer('SeparableConv2D', 'separable', { filters: 4, kernel_size: 3, strides: 2 }), 'pad'),
    applied(layer('BatchNormalization', 'norm', { axis: [3], momentum: 0.9, epsilon: 0.001 }), 'separable'),
    applied(layer('Reshape', 'vector', { target_shape: [-1] }), 'norm'),
    applied(layer('Dense', 'logits', { units: 3, activation: 'softmax' }), 'vector'),
  ),
  sequential(
    [8, 8, 1],
    layer('Rescaling', 'rescaled', { scale: 0.5, offset: [1] }),
    conv('conv', { activation: 'relu6' }),
    layer('MaxPooling2D', 'pool', { pool_size: 2, strides: null }),
    layer('ReLU', 'relu', { max_value: 6 }),
    sequential([3, 3, 4], layer('Dropout', 'dropout', { rate: 0.5 }), layer('Flatten', 'flat')),
    layer('Dense', 'logits', { units: 3 }),
  ),
];

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Returns the paths of all values in a JSON value. */
function pathsIn(value: Json, path: string[] = []): string[][] {
  const inside = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return [path, ...inside.flatMap(([key, item]) => pathsIn(item, [...path, key]))];
}

const valueAt = (root: Json, path: readonly string[]) =>
  path.reduce<Json>((value, key) => (value as Record<string, Json>)[key], root);

/** Replaces the value at a path; undefined deletes it. */
function replaceAt(root: Json, path: readonly string[], value: Json | undefined): Json {
  if (path.length === 0) return value ?? null;
  const parent = valueAt(root, path.slice(0, -1)) as Record<string, Json>;
  const key = path.at(-1)!;
  if (value !== undefined) parent[key] = value;
  else if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
  return root;
}

const replacement = fc.oneof(
  fc.constant(undefined),
  fc.constantFrom<Json[]>(
    0,
    1,
    -1,
    2.5,
    64,
    65_536,
    1e300,
    -0,
    2 ** 53,
    '',
    'same',
    'conv',
    'images',
    '__proto__',
    [],
    {},
    [[]],
    null,
    true,
    false,
  ),
  fc.constantFrom(
    'Conv2D',
    'Dense',
    'Add',
    'Flatten',
    'InputLayer',
    'Sequential',
    'Softmax',
    'Multiply',
    'Reshape',
    'RandomFlip',
  ),
  fc.array(fc.integer({ min: -1, max: 9 }), { maxLength: 4 }),
  fc.jsonValue() as fc.Arbitrary<Json>,
);
const mutation = fc.record({
  target: fc.nat(),
  /** Copies another value of the model instead. */
  source: fc.option(fc.nat()),
  replacement,
});

function mutate(
  model: unknown,
  mutations: readonly { target: number; source: number | null; replacement: Json | undefined }[],
) {
  let root = structuredClone(model) as Json;
  for (const { target, source, replacement: value } of mutations) {
    const paths = pathsIn(root);
    const at = (index: number) => paths[index % paths.length];
    const copied = source === null ? value : structuredClone(valueAt(root, at(source)));
    root = replaceAt(root, at(target), copied);
  }
  return root;
}

/** Returns whether the import accepts the model. */
function accepts(config: unknown): boolean {
  try {
    const model = flattenModel(config, 'fuzz.keras');
    const { graph, classCount } = buildGraph(model, reader, 'fuzz.keras');
    const [height, width, channels] = model.imageShape;
    layoutNetwork(graph, { height, width, channels: channels as 1 | 3, classCount });
    return true;
  } catch (error) {
    return rethrowUnlessRefused(error);
  }
}

function rethrowUnlessRefused(error: unknown): false {
  if (error instanceof LockstepError && ['bad-data', 'bad-config'].includes(error.code)) return false;
  throw error;
}

it('accepts the models themselves', () => expect(models.map(accepts)).toEqual([true, true]));

it('returns a valid graph or throws a LockstepError for any configuration', () => {
  let accepted = 0;
  const runs = 500;
  fc.assert(
    fc.property(fc.constantFrom(...models), fc.array(mutation, { minLength: 1, maxLength: 4 }), (model, mutations) => {
      if (accepts(mutate(model, mutations))) accepted++;
    }),
    { numRuns: runs },
  );
  // Both outcomes must be frequent, or the test would show little.
  expect(accepted).toBeGreaterThan(runs / 20);
  expect(accepted).toBeLessThan(runs / 1.2);
}, 60_000);

it('returns a network or throws a LockstepError for any damage to a .keras file', async () => {
  const config = sequential([2, 2, 3], layer('GlobalAveragePooling2D', 'pool'), layer('Dense', 'logits', { units: 3 }));
  const variables = [rising('layers/dense/vars/0', 3, 3), rising('layers/dense/vars/1', 3)];
  const file = await kerasFile(config, variables);
  const bytes = fc.array(fc.record({ at: fc.nat(file.length - 1), value: fc.integer({ min: 0, max: 255 }) }), {
    minLength: 1,
    maxLength: 20,
  });
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(bytes, async (changes) => {
      const damaged = file.slice();
      for (const { at, value } of changes) damaged[at] = value;
      await writeFile(inFolder('damaged.keras'), damaged);
      await importNetwork(inFolder('damaged.keras')).then(() => accepted++, rethrowUnlessRefused);
    }),
    { numRuns: 300 },
  );
  expect(accepted).toBeGreaterThan(0);
  expect(accepted).toBeLessThan(300);
}, 60_000);
