// Stores weights in the order in which the kernels read them: blocks of 8 output channels (the last block may have 4),
// each [tap][input channel][output channel in the block]. "Input" and "output" refer to the kernel that reads the
// weights: the input-gradient kernel reads the output channels of the layer and writes the input channels.
import { transformWeights } from './unrolled';

/**
 * Packs the weights for a direct kernel.
 * @param taps index in source of the first weight of each tap: tapCount values (i32)
 * @param inputs number of input channels; the remaining channels up to depth are filled with 0
 * @param inputStride number of elements in source from one input channel to the next
 * @param outputStride number of elements in source from one output channel to the next
 */
export function packWeights(
  source: usize,
  taps: usize,
  tapCount: i32,
  inputs: i32,
  depth: i32,
  inputStride: i32,
  outputs: i32,
  outputStride: i32,
  target: usize,
): void {
  for (let block = 0; block < outputs; block += 8) {
    const width = min(8, outputs - block);
    for (let tap = 0; tap < tapCount; tap++) {
      const tapAt = load<i32>(taps + 4 * tap) + block * outputStride;
      for (let input = 0; input < depth; input++) {
        for (let output = 0; output < width; output++) {
          const element = tapAt + input * inputStride + output * outputStride;
          store<f32>(target, input < inputs ? load<f32>(source + 4 * element) : 0);
          target += 4;
        }
      }
    }
  }
}

/**
 * Transforms the 3×3 filters of a Winograd layer, [3][3][inputs][outputs], into 36 planes of weights,
 * [input][output], each packed like a single tap. Does so twice: for the forward pass, and, rotated by 180° with input
 * and output exchanged, for the input gradient. `first` and `count` select a range of the layer's input channels.
 */
export function transformFilters(
  source: usize,
  inputs: i32,
  outputs: i32,
  first: i32,
  count: i32,
  forward: usize,
  turned: usize,
  work: usize,
): void {
  const planeBytes = inputs * outputs * 4;
  for (let input = first; input < first + count; input++) {
    for (let output = 0; output < outputs; output += 4) {
      const at = source + 4 * (input * outputs + output);
      for (let tap = 0; tap < 9; tap++) v128.store(work + 16 * tap, v128.load(at + tap * planeBytes));
      transformWeights(work);
      const block = output & ~7;
      const width = min(8, outputs - block);
      let to = forward + 4 * (block * inputs + input * width + output - block);
      for (let plane = 0; plane < 36; plane++, to += planeBytes) v128.store(to, v128.load(work + 16 * plane, 432));

      for (let tap = 0; tap < 9; tap++) v128.store(work + 16 * (8 - tap), v128.load(at + tap * planeBytes));
      transformWeights(work);
      const turnedBlock = input & ~7;
      const turnedWidth = min(8, inputs - turnedBlock);
      to = turned + 4 * (turnedBlock * outputs + output * turnedWidth + input - turnedBlock);
      for (let plane = 0; plane < 36; plane++, to += planeBytes) {
        for (let lane = 0; lane < 4; lane++) {
          store<f32>(to + 4 * turnedWidth * lane, load<f32>(work + 16 * plane + 4 * lane, 432));
        }
      }
    }
  }
}

/**
 * Expands the weights of a grouped convolution, [taps][inputs / groups][outputs], to those of a convolution without
 * groups, [taps][paddedInputs][paddedOutputs], in which the weights between different groups are 0. This is for groups
 * whose channel counts are not multiples of 4; other groups can be convolved one by one.
 */
export function expandGroups(
  source: usize,
  tapCount: i32,
  groups: i32,
  inputsOfGroup: i32,
  outputsOfGroup: i32,
  target: usize,
  paddedInputs: i32,
  paddedOutputs: i32,
): void {
  memory.fill(target, 0, 4 * tapCount * paddedInputs * paddedOutputs);
  for (let tap = 0; tap < tapCount; tap++) {
    for (let group = 0; group < groups; group++) {
      for (let input = 0; input < inputsOfGroup; input++) {
        const from = ((tap * inputsOfGroup + input) * groups + group) * outputsOfGroup;
        const row = tap * paddedInputs + group * inputsOfGroup + input;
        memory.copy(target + 4 * (row * paddedOutputs + group * outputsOfGroup), source + 4 * from, 4 * outputsOfGroup);
      }
    }
  }
}

/** Takes the gradients of the weights of expandGroups from the filter gradient of the expanded convolution. */
export function collectGroups(
  source: usize,
  tapCount: i32,
  groups: i32,
  inputsOfGroup: i32,
  outputsOfGroup: i32,
  target: usize,
  paddedInputs: i32,
  paddedOutputs: i32,
): void {
  for (let tap = 0; tap < tapCount; tap++) {
    for (let group = 0; group < groups; group++) {
      for (let input = 0; input < inputsOfGroup; input++) {
        const to = ((tap * inputsOfGroup + input) * groups + group) * outputsOfGroup;
        const row = tap * paddedInputs + group * inputsOfGroup + input;
        memory.copy(target + 4 * to, source + 4 * (row * paddedOutputs + group * outputsOfGroup), 4 * outputsOfGroup);
      }
    }
  }
}
