import { readFile, rm, writeFile } from 'node:fs/promises';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { importNetwork } from '../../../inference/import/import-network.js';
import type { Hdf5Dataset } from '../../../inference/export/hdf5.js';
import { LockstepError } from '../../../shared/errors.js';
import { weightsSha256 } from '../../../shared/network/layout-hash.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { applied, functional, kerasFile, layer, rising, sequential } from '../../support/keras-file.js';

const inFolder = folderPerFile();

async function importing(config: unknown, variables: readonly Hdf5Dataset[] = [], metadata?: unknown) {
  const file = inFolder('model.keras');
  await writeFile(file, await kerasFile(config, variables, metadata));
  return importNetwork(file);
}

async function problemOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(LockstepError);
  expect(['bad-data', 'bad-config']).toContain((error as LockstepError).code);
  return (error as LockstepError).message.replaceAll(`${inFolder('')}/`, '');
}

const pool = layer('GlobalAveragePooling2D', 'pool');
const head = layer('Dense', 'logits', { units: 3 });
const headVariables = (inputs: number) => [rising('layers/dense/vars/0', inputs, 3), rising('layers/dense/vars/1', 3)];

describe('a Keras model', () => {
  it('becomes a graph, with the weights in the order of its nodes', async () => {
    const conv = layer('Conv2D', 'conv', { filters: 2, kernel_size: [1, 1], use_bias: false, activation: 'relu' });
    const variables = [rising('layers/conv2d/vars/0', 1, 1, 1, 2), ...headVariables(2)];
    const network = await importing(sequential([4, 5, 1], conv, pool, head), variables);
    expect(network.graph).toMatchObject({
      name: 'small',
      channelOrder: 'rgb',
      nodes: [
        {
          name: 'conv',
          op: 'conv2d',
          inputs: ['input'],
          filters: 2,
          kernelSize: [1, 1],
          padding: 'valid',
          bias: false,
        },
        { name: 'conv/relu', op: 'relu', inputs: ['conv'] },
        { name: 'pool', op: 'globalAveragePool', inputs: ['conv/relu'] },
        { name: 'logits', op: 'dense', inputs: ['pool'], units: 3 },
      ],
    });
    expect(network.data).toEqual({ height: 4, width: 5, channels: 1, classCount: 3 });
    const eighths = [0, 1, 0, 1, 2, 3, 4, 5, 0, 1, 2]; // the convolution's kernel, then kernel and bias of the dense layer
    expect([...network.weights]).toEqual(eighths.map((value) => value / 8));
    expect(network.weightsSha256).toBe(weightsSha256(network.weights, network.movingStatistics));
  });

  it('counts the layers of a class, as the groups of the HDF5 file do', async () => {
    const dense = (name: string) => layer('Dense', name, { units: 1, use_bias: false });
    const variables = ['dense', 'dense_1', 'dense_2'].map((group, index) => ({
      path: `layers/${group}/vars/0`,
      shape: [1, 1],
      values: Float32Array.of(index),
    }));
    const network = await importing(sequential([2, 2, 1], pool, dense('a'), dense('b'), dense('c')), variables);
    expect([...network.weights]).toEqual([0, 1, 2]);
  });

  it('has moving statistics, and its trainable flags and initializers', async () => {
    const norm = layer('BatchNormalization', 'norm', {
      trainable: false,
      momentum: 0.5,
      scale: false,
      beta_initializer: { class_name: 'Ones', config: {} },
    });
    const variables = [0, 1, 2].map((index) => rising(`layers/batch_normalization/vars/${index}`, 3));
    const network = await importing(sequential([2, 2, 3], norm, pool), variables);
    expect(network.graph.nodes[0]).toMatchObject({
      op: 'batchNorm',
      scale: false,
      offset: true,
      weights: { beta: { trainable: false, initializer: 'ones' } },
    });
    expect([...network.movingStatistics]).toEqual([0, 0.125, 0.25, 0, 0.125, 0.25]);
    expect(network.bnMomenta).toEqual([0.5]);
  });

  it.each([
    ['a layer', [head, layer('Softmax', 'softmax')]],
    ['an activation layer', [head, layer('Activation', 'softmax', { activation: 'softmax' })]],
    ['the activation of the last layer', [{ ...head, config: { ...head.config, activation: 'softmax' } }]],
  ])('loses its softmax: %s', async (_, end) => {
    const { graph } = await importing(sequential([2, 2, 3], pool, ...end), headVariables(3));
    expect(graph.nodes.map(({ name }) => name)).toEqual(['pool', 'logits']);
  });

  it('may list its layers in any order, and share layers without weights', async () => {
    const relu = layer('ReLU', 'relu');
    const twice = {
      ...relu,
      inbound_nodes: [...applied(relu, 'pool').inbound_nodes!, ...applied(relu, 'logits').inbound_nodes!],
    };
    const sum = applied(layer('Activation', 'last', { activation: 'linear' }), 'logits');
    const config = functional([2, 2, 3], 'last', applied(head, 'relu'), sum, twice, applied(pool, 'images'));
    // The second use of the ReLU has no consumer.
    const shared = await problemOf(importing(config, headVariables(3)));
    expect(shared).toContain('layers after its output');
    config.config.output_layers = [['relu', 1, 0]];
    config.config.layers = config.config.layers.filter(({ config: { name } }) => name !== 'last');
    const { graph } = await importing(config, headVariables(3));
    expect(graph.nodes.map(({ name, inputs }) => [name, ...inputs])).toEqual([
      ['pool', 'input'],
      ['relu', 'pool'],
      ['logits', 'relu'],
      ['relu_1', 'logits'],
    ]);
  });

  it('scales its input with the constants of Rescaling and Normalization', async () => {
    const rescaling = layer('Rescaling', 'rescaling', { scale: 0.5, offset: -1 });
    const normalization = layer('Normalization', 'normalization', {
      axis: [-1],
      mean: [[[[4, 6, 8]]]],
      variance: [4, 16, 0],
    });
    const adapted = layer('Normalization', 'adapted', { axis: [-1] });
    const variables = [rising('layers/normalization_1/vars/0', 3), rising('layers/normalization_1/vars/1', 3)];
    const network = await importing(sequential([2, 2, 3], rescaling, normalization, adapted, pool), variables);
    // Keras divides by at least 1e-7. The adapted means and variances are 0, 1/8 and 2/8: -1/8 / √(1/8) = -√(1/8).
    expect(network.graph.nodes).toMatchObject([
      { op: 'scale', factor: 0.5, offset: -1 },
      { op: 'scale', factor: [1 / 2, 1 / 4, 1e7], offset: [-2, -1.5, -8e7] },
      {
        op: 'scale',
        factor: [1e7, expect.closeTo(Math.sqrt(8)), 2],
        offset: [-0, expect.closeTo(-Math.sqrt(1 / 8)), -0.5],
      },
      { op: 'globalAveragePool' },
    ]);
    expect(network.preprocessing).toBe('none');
  });

  it('pads columns and channels with the data format channels_first', async () => {
    const padding = layer('ZeroPadding2D', 'pad', {
      padding: [
        [1, 2],
        [3, 4],
      ],
      data_format: 'channels_first',
    });
    const { graph, data } = await importing(sequential([2, 2, 3], padding, pool));
    expect(graph.nodes[0]).toMatchObject({ rows: [0, 0], columns: [1, 2], channels: [3, 4] });
    expect(data.classCount).toBe(10);
  });
});

describe('an unsupported Keras model', () => {
  it('is refused with a list of all layers that are the reason', async () => {
    const message = await problemOf(
      importing(
        sequential(
          [8, 8, 3],
          layer('LeakyReLU', 'leaky'),
          layer('Conv2D', 'dilated', { filters: 2, kernel_size: 3, dilation_rate: [2, 2] }),
          layer('Activation', 'tanh', { activation: 'tanh' }),
          layer('MaxPooling2D', 'fine'),
          layer('ReLU', 'sloped', { negative_slope: 0.1 }),
          layer('Normalization', 'pixels', { axis: [1, 2, 3], mean: 0, variance: 1 }),
          pool,
        ),
      ),
    );
    expect(message.split('\n')).toEqual([
      'cannot import model.keras: these layers are not supported:',
      '  layer 1, "leaky": the class LeakyReLU',
      '  layer 2, "dilated": the class Conv2D, whose dilation_rate is [2,2]: it must be 1',
      '  layer 3, "tanh": the class Activation, whose activation is "tanh": it must be linear, relu, relu6, gelu, silu, swish, sigmoid',
      '  layer 5, "sloped": the class ReLU, whose negative_slope is 0.1: it must be 0',
      '  layer 6, "pixels": the class Normalization, whose axis is [1,2,3]: it must be -1, for means that do not differ from pixel to pixel',
      expect.stringMatching(/^Supported classes: Conv2D, DepthwiseConv2D, .*Rescaling/),
    ]);
  });

  it('is refused if several uses share weights', async () => {
    const inner = layer('Dense', 'same', { units: 3 });
    const shared = {
      ...inner,
      inbound_nodes: [...applied(inner, 'pool').inbound_nodes!, ...applied(inner, 'same').inbound_nodes!],
    };
    const config = functional([2, 2, 3], 'same', applied(pool, 'images'), shared);
    config.config.output_layers = [['same', 1, 0]];
    expect(await problemOf(importing(config))).toContain('layer 3, "same": the class Dense, used more than once');
  });

  it.each([
    ['is a subclass', { class_name: 'Transformer', config: {} }, 'it is a Transformer: only Sequential and Functional'],
    [
      'has no layers',
      { class_name: 'Sequential', config: { layers: [] } },
      'the layers of the model "" are not a list',
    ],
    ['has nothing but an input', sequential([2, 2, 3]), 'it has no layers'],
    ['has images of any size', sequential([null as never, 2, 3], pool), 'its input has the shape [null,null,2,3]'],
    ['has no classifier', sequential([2, 2, 3], layer('ReLU', 'relu')), 'its output has the shape [2, 2, 3]'],
    [
      'shrinks images too much',
      sequential([2, 2, 3], layer('Conv2D', 'conv', { filters: 1, kernel_size: 3 }), pool),
      'node "conv": a window of 3×3 pixels',
    ],
    [
      'depends on itself',
      functional([2, 2, 3], 'a', applied(layer('ReLU', 'a'), 'b'), applied(layer('ReLU', 'b'), 'a')),
      'depends on its own output',
    ],
    ['has an unknown input', functional([2, 2, 3], 'a', applied(layer('ReLU', 'a'), 'c')), 'input ["c",0,0]'],
    [
      'adds a single value',
      functional([2, 2, 3], 'a', applied(layer('Add', 'a'), 'images')),
      'the class Add with 1 inputs: it must have at least two',
    ],
    [
      'has two outputs',
      {
        class_name: 'Functional',
        config: {
          name: 'two',
          layers: [layer('InputLayer', 'x')],
          input_layers: ['x', 0, 0],
          output_layers: [
            ['a', 0, 0],
            ['b', 0, 0],
          ],
        },
      },
      'the model "two" has 1 inputs and 2 outputs',
    ],
  ])('is refused if it %s', async (_, config, expected) => {
    expect(await problemOf(importing(config))).toContain(expected);
  });
});

describe('a damaged .keras file', () => {
  const config = sequential([2, 2, 3], pool, head);

  it.each<[string, Hdf5Dataset[], string]>([
    ['lacks a variable', [rising('layers/dense/vars/0', 3, 3)], 'no layers/dense/vars/1, the bias of layer "logits"'],
    [
      'has a variable of another shape',
      headVariables(4),
      'the kernel of layer "logits" has the shape [4, 3] in model.weights.h5',
    ],
    [
      'has a value that is not finite',
      [
        { path: 'layers/dense/vars/0', shape: [3, 3], values: new Float32Array(9).fill(Number.NaN) },
        headVariables(3)[1],
      ],
      'logits/kernel has values that are not finite',
    ],
  ])('is refused if it %s', async (_, variables, expected) => {
    expect(await problemOf(importing(config, variables))).toContain(expected);
  });

  it.each<[string, () => Promise<Uint8Array> | Uint8Array, string]>([
    ['is empty', () => new Uint8Array(), 'it is not a zip file, or is damaged'],
    ['is truncated', async () => (await kerasFile(config, [])).slice(0, -10), 'it is not a zip file, or is damaged'],
    ['lacks its configuration', () => zipSync({ a: new Uint8Array(1) }), 'it has no config.json'],
    [
      'has an invalid configuration',
      () => zipSync({ 'config.json': new Uint8Array(1), 'metadata.json': new Uint8Array(1) }),
      'its config.json is not JSON',
    ],
    [
      'has too many files',
      () => zipSync(Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`${i}`, new Uint8Array()]))),
      'more than 1000 files',
    ],
  ])('is refused if it %s', async (_, bytes, expected) => {
    const file = inFolder('damaged.keras');
    await writeFile(file, await bytes());
    expect(await problemOf(importNetwork(file))).toContain(expected);
  });

  it('is refused before an entry is decompressed that claims more than 64 MiB', async () => {
    const file = inFolder('bomb.keras');
    const bytes = zipSync({ 'config.json': new Uint8Array(2 ** 26 + 1) });
    expect(bytes.length).toBeLessThan(100_000);
    await writeFile(file, bytes);
    expect(await problemOf(importNetwork(file))).toContain('its config.json has 67108865 bytes: at most 67108864');
  });

  it('is refused if its weights are not HDF5', async () => {
    const file = inFolder('damaged.keras');
    const json = (value: unknown) => Buffer.from(JSON.stringify(value));
    await writeFile(
      file,
      zipSync({ 'config.json': json(config), 'metadata.json': json({}), 'model.weights.h5': new Uint8Array(100) }),
    );
    expect(await problemOf(importNetwork(file))).toContain('its model.weights.h5 is damaged');
  });

  it('is refused if it does not exist', async () => {
    expect(await problemOf(importNetwork(inFolder('missing.keras')))).toContain('it does not exist');
  });
});

describe('a .keras file that lockstep export wrote', () => {
  const graph = {
    name: 'tiny',
    channelOrder: 'bgr',
    nodes: [
      { name: 'stem/conv', op: 'conv2d', inputs: ['input'], filters: 2, kernelSize: 1, bias: false },
      { name: 'pool', op: 'globalAveragePool', inputs: ['stem/conv'] },
    ],
  };
  const metadata = (sha256: string) => ({
    weightsSha256: sha256,
    lockstep: {
      graph,
      preprocessing: 'standardize',
      data: { height: 2, width: 2, channels: 3, classCount: 2 },
      arrays: [{ name: 'stem/conv/kernel', path: 'layers/conv2d/vars/0', reversed: true }],
    },
  });
  const variables = [rising('layers/conv2d/vars/0', 1, 1, 3, 2)];
  // Rows of two filters for blue, green and red.
  const kernel = Float32Array.of(4, 5, 2, 3, 0, 1).map((value) => value / 8);
  const config = sequential([2, 2, 3]);

  it('gives the network that was exported: graph, array order, channel order and preprocessing', async () => {
    const network = await importing(config, variables, metadata(weightsSha256(kernel, new Float32Array())));
    expect(network.graph).toMatchObject({ name: 'tiny', channelOrder: 'bgr', nodes: [{ name: 'stem/conv' }, {}] });
    expect([...network.weights]).toEqual([...kernel]);
    expect(network.preprocessing).toBe('standardize');
  });

  it('is refused if the weights changed', async () => {
    expect(await problemOf(importing(config, variables, metadata('0'.repeat(64))))).toContain('the file was changed');
  });

  it('is refused if its metadata is malformed', async () => {
    const { weightsSha256: _, ...others } = metadata('');
    expect(await problemOf(importing(config, variables, others))).toContain(
      'metadata.json is malformed: weightsSha256',
    );
    const moved = metadata('');
    moved.lockstep.arrays = [];
    expect(await problemOf(importing(config, variables, moved))).toContain('does not say where stem/conv/kernel is');
  });
});

describe('a TensorFlow.js layers model', () => {
  /** A model as TensorFlow.js saves it: Keras 2's form, one shard per weight. */
  async function write(changes: object = {}, names = ['logits/kernel', 'logits/bias']) {
    const model = {
      format: 'layers-model',
      modelTopology: {
        class_name: 'Model',
        config: {
          name: 'web',
          layers: [
            {
              class_name: 'InputLayer',
              name: 'x',
              config: { name: 'x', batch_input_shape: [null, 2, 2, 3] },
              inbound_nodes: [],
            },
            { ...pool, name: 'pool', inbound_nodes: [[['x', 0, 0, {}]]] },
            { ...head, name: 'logits', inbound_nodes: [[['pool', 0, 0, {}]]] },
          ],
          input_layers: [['x', 0, 0]],
          output_layers: [['logits', 0, 0]],
        },
      },
      weightsManifest: [
        {
          paths: ['a.bin', 'b.bin'],
          weights: [
            { name: names[0], shape: [3, 3], dtype: 'float32' },
            { name: names[1], shape: [3], dtype: 'float32' },
          ],
        },
      ],
      ...changes,
    };
    await writeFile(inFolder('model.json'), JSON.stringify(model));
    // The twelve values 0, 1/8, …, 11/8. The shards divide one of them.
    const bytes = Buffer.from(Float32Array.from({ length: 12 }, (_, index) => index / 8).buffer);
    await writeFile(inFolder('a.bin'), bytes.subarray(0, 17));
    await writeFile(inFolder('b.bin'), bytes.subarray(17));
    return inFolder('model.json');
  }

  it.each([[['logits/kernel', 'logits/bias']], [['model/logits/kernel', 'model/logits/bias']]])(
    'is imported with the weights %j',
    async (names) => {
      const network = await importNetwork(await write({}, names));
      expect(network.graph.nodes.map(({ name }) => name)).toEqual(['pool', 'logits']);
      expect([...network.weights]).toEqual(Array.from({ length: 12 }, (_, index) => index / 8));
    },
  );

  it('may be converted from Keras 2, with its topology in model_config', async () => {
    const { modelTopology } = JSON.parse(await readFile(await write(), 'utf8')) as { modelTopology: object };
    const file = await write({ modelTopology: { keras_version: '2.15.0', model_config: modelTopology } });
    expect((await importNetwork(file)).data.classCount).toBe(3);
  });

  const weight = { name: 'logits/kernel', shape: [3, 3], dtype: 'float32' };
  it.each([
    ['is a graph model', { format: 'graph-model' }, 'its format is graph-model'],
    ['has no topology', { modelTopology: undefined }, 'it is not the model.json'],
    [
      'has shards in other folders',
      { weightsManifest: [{ paths: ['../a.bin'], weights: [] }] },
      'it is not the model.json',
    ],
    ['lacks a shard', { weightsManifest: [{ paths: ['c.bin'], weights: [] }] }, 'cannot be read (ENOENT)'],
    ['lacks a weight', { weightsManifest: [] }, 'no weight with the name logits/kernel'],
    [
      'is quantized',
      { weightsManifest: [{ paths: ['a.bin'], weights: [{ ...weight, quantization: {} }] }] },
      'is quantized',
    ],
    [
      'has float16 weights',
      { weightsManifest: [{ paths: ['a.bin'], weights: [{ ...weight, dtype: 'float16' }] }] },
      'is float16',
    ],
    ['has a truncated shard', { weightsManifest: [{ paths: ['a.bin'], weights: [weight] }] }, 'ends at byte 36 of 17'],
    [
      'has a weight of another shape',
      { weightsManifest: [{ paths: ['a.bin', 'b.bin'], weights: [{ ...weight, shape: [9] }] }] },
      'has the shape [9] in weightsManifest',
    ],
  ])('is refused if it %s', async (_, changes, expected) => {
    expect(await problemOf(importNetwork(await write(changes)))).toContain(expected);
    await rm(inFolder('model.json'));
  });
});
