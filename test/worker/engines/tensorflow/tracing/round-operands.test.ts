// Convolutions with rounded operands: the nodes of the rewritten graph, and the values that it computes.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { dataTypes } from '../../../../../worker/engines/tensorflow/data-types.js';
import { GraphBuilder, type Graph, type TensorType } from '../../../../../worker/engines/tensorflow/tracing/graph.js';
import { roundOperands } from '../../../../../worker/engines/tensorflow/tracing/round-operands.js';
import { loadTensorFlow } from '../../../../../worker/engines/tensorflow/load.js';
import { trace } from '../../../../../worker/engines/tensorflow/tracing/traced-function.js';
import { openTensorFlowOrReason } from '../../../../support/tensorflow.js';

const { float32 } = dataTypes;
const image: TensorType = { dataType: float32, shape: [1, 4, 4, 2] };
const kernel: TensorType = { dataType: float32, shape: [3, 3, 2, 2] };

function operationsOf({ nodes }: Graph): string[] {
  return nodes.map(({ operation }) => operation);
}

describe('roundOperands', () => {
  it('rounds every operand once, and nothing else', () => {
    const builder = new GraphBuilder();
    const [x, k] = [builder.addInput(image), builder.addInput(kernel)];
    const attributes = { T: { kind: 'type', value: float32 } } as const;
    const [y] = builder.add({ operation: 'Conv2D', inputs: [x, k], attributes, outputTypes: [image] });
    const [z] = builder.add({ operation: 'Conv2D', inputs: [y, k], attributes, outputTypes: [image] });
    const [sum] = builder.add({ operation: 'Add', inputs: [y, z], attributes, outputTypes: [image] });
    const graph = roundOperands('bfloat16')(builder.finish(new Map([['sum', sum]])));
    // prettier-ignore
    expect(operationsOf(graph)).toEqual([
      'Placeholder', 'Placeholder',
      'Cast', 'Cast', // the images, to bfloat16 and back
      'Cast', 'Cast', // the kernel, for both convolutions
      'Conv2D',
      'Cast', 'Cast', // the first convolution's output, for the second; the addition uses it unrounded
      'Conv2D', 'Add',
    ]);
    expect(graph.nodes.at(-1)!.inputs[0].node.operation).toBe('Conv2D');
    expect(graph.outputs.get('sum')!.dataType).toBe(float32);
  });

  it('does not round the shapes that are inputs of convolution gradients', () => {
    const builder = new GraphBuilder();
    const [x, dy] = [builder.addInput(image), builder.addInput(image)];
    const shape = builder.addConstant({ dataType: dataTypes.int32, shape: [4] }, Int32Array.of(3, 3, 2, 2));
    const [gradient] = builder.add({
      operation: 'Conv2DBackpropFilter',
      inputs: [x, shape, dy],
      attributes: {},
      outputTypes: [kernel],
    });
    const graph = roundOperands('float16')(builder.finish(new Map([['gradient', gradient]])));
    const { inputs } = graph.nodes.at(-1)!;
    expect(inputs.map(({ node }) => node.operation)).toEqual(['Cast', 'Const', 'Cast']);
  });
});

const opened = await openTensorFlowOrReason();

describe.each([
  // bfloat16 has 8 significant bits: 1 + 1/256 is halfway between 1 and 1 + 1/128 and is rounded to the even one, 1.
  { type: 'bfloat16', value: 1 + 1 / 256, becomes: 1 },
  { type: 'bfloat16', value: 1 + 3 / 256, becomes: 1 + 2 / 128 },
  // float16 has 11 significant bits: 1 + 1/2048 is halfway between 1 and 1 + 1/1024 and is rounded to the even one, 1.
  { type: 'float16', value: 1 + 1 / 2048, becomes: 1 },
  { type: 'float16', value: 1 + 3 / 2048, becomes: 1 + 2 / 1024 },
] as const)('a convolution in $type, on TensorFlow', ({ type, value, becomes }) => {
  it(`multiplies ${becomes} instead of ${value} and adds in float32`, (context) => {
    if (typeof opened === 'string') context.skip(opened);
    const runtime = loadTensorFlow(1);
    const { tf } = runtime;
    const inputs: [Tensor4D, Tensor4D] = [tf.tensor4d([value, value, value], [1, 1, 1, 3]), tf.ones([1, 1, 3, 1])];
    const convolve = (x: Tensor4D, k: Tensor4D): { y: Tensor } => ({ y: tf.conv2d(x, k, 1, 'valid') });
    const traced = trace(runtime, convolve, inputs, [roundOperands(type)]);
    const { y } = traced.call(...inputs);
    expect(y.dataSync()[0]).toBe(Math.fround(3 * becomes));
    traced.dispose();
    tf.dispose([y, ...inputs]);
  });
});
