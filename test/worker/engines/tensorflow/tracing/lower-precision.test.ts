import { describe, expect, it } from 'vitest';
import { dataTypes } from '../../../../../worker/engines/tensorflow/data-types.js';
import {
  GraphBuilder,
  type Graph,
  type GraphTensor,
  type TensorType,
} from '../../../../../worker/engines/tensorflow/tracing/graph.js';
import { lowerPrecision } from '../../../../../worker/engines/tensorflow/tracing/lower-precision.js';

const { float32, bfloat16 } = dataTypes;
const image: TensorType = { dataType: float32, shape: [1, 4, 4, 2] };
const kernel: TensorType = { dataType: float32, shape: [3, 3, 2, 2] };

function operation(builder: GraphBuilder, name: string, inputs: GraphTensor[], types: TensorType[] = [image]) {
  return builder.add({
    operation: name,
    inputs,
    attributes: { T: { kind: 'type', value: float32 } },
    outputTypes: types,
  });
}

/** Describes each node as `Name(inputs)outputs`, with b for bfloat16 and f for other types. */
function describeGraph({ nodes }: Graph): string[] {
  return nodes.map(({ operation: name, inputs, outputs, attributes }) => {
    const { T } = attributes;
    const type = T?.kind === 'type' && T.value === bfloat16 ? ' in bfloat16' : '';
    const mark = ({ dataType }: TensorType) => (dataType === bfloat16 ? 'b' : 'f');
    return `${name}(${inputs.map(mark).join('')})${outputs.map(mark).join('')}${type}`;
  });
}

describe('lowerPrecision', () => {
  it('lowers convolutions and what follows them, with one cast at each boundary', () => {
    const builder = new GraphBuilder();
    const x = builder.addInput(image);
    const k = builder.addInput(kernel);
    const [convolved] = operation(builder, 'Conv2D', [x, k]);
    const [again] = operation(builder, 'Conv2D', [convolved, k]);
    const [added] = operation(builder, 'Add', [convolved, again]);
    const [mean] = operation(builder, 'Mean', [added]);
    const [exponent] = operation(builder, 'Exp', [added]);
    const graph = builder.finish(
      new Map([
        ['mean', mean],
        ['exponent', exponent],
        ['sum', added],
      ]),
    );
    expect(describeGraph(lowerPrecision('bfloat16')(graph))).toEqual([
      'Placeholder()f',
      'Placeholder()f',
      'Cast(f)b', // the images
      'Cast(f)b', // the kernel, for both convolutions
      'Conv2D(bb)b in bfloat16',
      'Conv2D(bb)b in bfloat16',
      'Add(bb)b in bfloat16',
      'Cast(b)f', // for both operations that remain in float32, and for the output
      'Mean(f)f',
      'Exp(f)f',
    ]);
  });

  it('keeps the statistics, gamma and beta of a batch norm in float32', () => {
    const builder = new GraphBuilder();
    const [x, gamma] = [builder.addInput(image), builder.addInput({ dataType: float32, shape: [2] })];
    const [convolved] = operation(builder, 'Conv2D', [x, builder.addInput(kernel)]);
    const channel: TensorType = { dataType: float32, shape: [2] };
    const [y, mean] = operation(builder, 'FusedBatchNormV3', [convolved, gamma, gamma], [image, channel]);
    const graph = lowerPrecision('bfloat16')(
      builder.finish(
        new Map([
          ['y', y],
          ['mean', mean],
        ]),
      ),
    );
    expect(describeGraph(graph)).toContain('FusedBatchNormV3(bff)bf in bfloat16');
    expect([...graph.outputs.values()].map(({ dataType }) => dataType)).toEqual([float32, float32]);
  });

  it('lowers depthwise convolutions, relu6 and max pooling, with their gradients', () => {
    const builder = new GraphBuilder();
    const x = builder.addInput(image);
    const k = builder.addInput(kernel);
    const sizes = builder.addConstant({ dataType: dataTypes.int32, shape: [4] }, Int32Array.of(1, 4, 4, 2));
    const [convolved] = operation(builder, 'DepthwiseConv2dNative', [x, k]);
    const [active] = operation(builder, 'Relu6', [convolved]);
    const [pooled] = operation(builder, 'MaxPool', [active]);
    const [toActive] = operation(builder, 'MaxPoolGrad', [active, pooled, pooled]);
    const [toConvolved] = operation(builder, 'Relu6Grad', [toActive, active]);
    const [toInput] = operation(builder, 'DepthwiseConv2dNativeBackpropInput', [sizes, k, toConvolved]);
    const [toKernel] = operation(builder, 'DepthwiseConv2dNativeBackpropFilter', [x, sizes, toConvolved], [kernel]);
    const graph = builder.finish(
      new Map([
        ['toInput', toInput],
        ['toKernel', toKernel],
      ]),
    );
    expect(describeGraph(lowerPrecision('bfloat16')(graph))).toEqual([
      'Placeholder()f',
      'Placeholder()f',
      'Const()f', // sizes
      'Cast(f)b', // the images
      'Cast(f)b', // the kernel
      'DepthwiseConv2dNative(bb)b in bfloat16',
      'Relu6(b)b in bfloat16',
      'MaxPool(b)b in bfloat16',
      'MaxPoolGrad(bbb)b in bfloat16',
      'Relu6Grad(bb)b in bfloat16',
      'DepthwiseConv2dNativeBackpropInput(fbb)b in bfloat16',
      'DepthwiseConv2dNativeBackpropFilter(bfb)b in bfloat16',
      'Cast(b)f',
      'Cast(b)f',
    ]);
  });

  it('does not change a graph without convolutions', () => {
    const builder = new GraphBuilder();
    const x = builder.addInput(image);
    const [sum] = operation(builder, 'Add', [x, x]);
    const graph = builder.finish(new Map([['sum', sum]]));
    expect(describeGraph(lowerPrecision('bfloat16')(graph))).toEqual(describeGraph(graph));
  });
});
