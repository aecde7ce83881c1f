// The network as a list of convolutions, each with its batch norm, and the tensors between them, for the passes.
import type { BatchNormPlan, BlockPlan, ConvPlan, FixedPlan } from '../memory/fixed-plan.js';
import type { TensorPlan } from '../memory/tensor-plan.js';
import type { AnyTensor, Tensor, ThreadTensor } from '../memory/tensor.js';
import type { LayerGroup } from './pass.js';

/** A convolution, its batch norm and the ReLU after it. */
export interface NormalizedLayer {
  group: LayerGroup;
  conv: ConvPlan;
  bn: BatchNormPlan;
  /** Output of the convolution. */
  convolved: Tensor;
  /** Tensor that is added before the ReLU; null if there is none. */
  shortcut: Tensor | null;
  /** Output of the ReLU. After a block's first batch norm, it is not stored but recomputed in the backward pass. */
  activation: AnyTensor;
}

/** Returns the layers in forward order: the stem, then two layers per block. */
export function layersOf({ stem, blocks }: FixedPlan, tensors: TensorPlan): NormalizedLayer[] {
  const { convolved, output } = tensors.stem;
  const layers: NormalizedLayer[] = [{ group: 'stem', ...stem, convolved, shortcut: null, activation: output }];
  let input = output;
  for (const [index, plan] of blocks.entries()) {
    const { conv1, bn1, conv2, bn2 } = plan;
    const { convolved1, convolved2, shortcut, output } = tensors.blocks[index];
    const group = groupOf(plan);
    const activation1 = threadTensor('activations', plan.group, output);
    layers.push(
      { group, conv: conv1, bn: bn1, convolved: convolved1, shortcut: null, activation: activation1 },
      { group, conv: conv2, bn: bn2, convolved: convolved2, shortcut: shortcut ?? input, activation: output },
    );
    input = output;
  }
  return layers;
}

/** Returns the outputs of the stem and of each block. Output i is the input of block i. */
export function outputsOf({ stem, blocks }: TensorPlan): Tensor[] {
  return [stem.output, ...blocks.map(({ output }) => output)];
}

export function groupOf(plan: BlockPlan): LayerGroup {
  return `group ${plan.group as 1 | 2 | 3}`;
}

/** Creates a thread tensor with the shape of the given tensor. @param group number of the layer group, 1 to 3 */
export function threadTensor(of: ThreadTensor['of'], group: number, { size, channels }: Tensor): ThreadTensor {
  return { of, group: group - 1, size, channels };
}
