// Memory plan for the images of a slice, large enough for the largest slice so far. Pure.
import { recordFormat } from '../../../../shared/dataset/record-format.js';
import { LockstepError } from '../../../../shared/errors.js';
import type { ResidualBlock } from '../../../../shared/network/layout.js';
import { groupSizeOf, type FixedPlan } from './fixed-plan.js';
import { Allocator, type Tensor } from './tensor.js';

/** Maximum size of a WebAssembly memory in bytes. */
const addressableBytes = 2 ** 32;

export interface BlockTensors {
  convolved1: Tensor;
  convolved2: Tensor;
  /** Output of the shortcut in a downsampling block; null in other blocks. */
  shortcut: Tensor | null;
  output: Tensor;
}

/** Gradient tensors that the blocks of a group share: only one block needs them at a time. */
export interface GradientTensors {
  /** Gradient with respect to the sum of a block's second batch norm and its shortcut. */
  sum: Tensor;
  /** Gradient with respect to the output of a block's first batch norm. */
  first: Tensor;
}

export interface TensorPlan {
  /** Maximum number of images. */
  capacity: number;
  records: number;
  augmentations: number;
  pooled: number;
  logitGradients: number;
  losses: number;
  correct: number;
  /** Address of the first tensor. */
  begin: number;
  images: Tensor;
  stem: { convolved: Tensor; output: Tensor };
  blocks: readonly BlockTensors[];
  gradients: readonly GradientTensors[];
  end: number;
}

/** Throws `bad-config` if `capacity` images do not fit into 4 GiB of memory. */
export function planTensors(fixed: FixedPlan, capacity: number): TensorPlan {
  const { layout } = fixed;
  const { initialFilters } = layout.spec;
  const { height: imageSize, classCount, recordBytes } = recordFormat(layout.data);
  const allocator = new Allocator(fixed.end);
  const tensor = (size: number, channels: number) => allocator.tensor(capacity, size, channels);
  const plan = {
    capacity,
    records: allocator.take(capacity * recordBytes),
    augmentations: allocator.take(2 * capacity),
    pooled: allocator.takeFloats(capacity * layout.dense.kernel.shape[0]),
    logitGradients: allocator.takeFloats(capacity * classCount),
    losses: allocator.take(8 * capacity),
    correct: allocator.take(4 * capacity),
    begin: allocator.next,
    images: tensor(imageSize, 4),
    stem: { convolved: tensor(imageSize, initialFilters), output: tensor(imageSize, initialFilters) },
    blocks: layout.blocks.map((block) => planBlockTensors(block, tensor)),
    gradients: [0, 1, 2].map((group) => {
      const groupTensor = () => tensor(groupSizeOf(layout, group), initialFilters << group);
      return { sum: groupTensor(), first: groupTensor() };
    }),
  };
  const end = allocator.next + fixed.slackBytes;
  if (end > addressableBytes) {
    const gibibytes = (end / 2 ** 30).toFixed(1);
    throw new LockstepError(
      'bad-config',
      `a slice of ${capacity} images of ${imageSize}×${imageSize} pixels with this model needs ${gibibytes} GiB, but the wasm engine can use only 4: increase \`slices\``,
    );
  }
  return { ...plan, end };
}

function planBlockTensors({ conv1 }: ResidualBlock, tensor: (size: number, channels: number) => Tensor): BlockTensors {
  const blockTensor = () => tensor(conv1.outputSize, conv1.outputChannels);
  return {
    convolved1: blockTensor(),
    convolved2: blockTensor(),
    shortcut: conv1.stride === 1 ? null : blockTensor(),
    output: blockTensor(),
  };
}
