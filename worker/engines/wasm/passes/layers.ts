// The network as the passes see it: convolutions, each with its batch norm, and the tensors between them.
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
  /** Added before the ReLU. */
  shortcut: Tensor | null;
  /** Output of the ReLU. That of a block's first batch norm is not kept, but computed again in the backward pass. */
  activation: AnyTensor;
}

/** The layers in the order of the forward pass: the stem, then two for each block. */
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

/** Outputs of the stem and of each block. The input of block i is output i. */
export function outputsOf({ stem, blocks }: TensorPlan): Tensor[] {
  return [stem.output, ...blocks.map(({ output }) => output)];
}

export function groupOf(plan: BlockPlan): LayerGroup {
  return `group ${plan.group as 1 | 2 | 3}`;
}

/** @param group 1 to 3 */
export function threadTensor(of: ThreadTensor['of'], group: number, { size, channels }: Tensor): ThreadTensor {
  return { of, group: group - 1, size, channels };
}
