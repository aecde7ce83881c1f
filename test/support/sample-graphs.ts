// Small networks for tests of engines and exports, as JSON.

/** Every operation once or more, for images of about 9×9 pixels. Ends in one logit per class. */
export const everyOperation = {
  name: 'every-operation',
  nodes: [
    { name: 'scaled', op: 'scale', inputs: ['input'], factor: [0.5, 1, 2], offset: [0.1, 0, -0.1] },
    {
      name: 'wide',
      op: 'conv2d',
      inputs: ['scaled'],
      filters: 8,
      kernelSize: 5,
      weights: { kernel: { trainable: false } },
    },
    { name: 'gelu', op: 'gelu', inputs: ['wide'] },
    { name: 'grouped', op: 'conv2d', inputs: ['gelu'], filters: 8, kernelSize: 3, groups: 2, bias: false },
    { name: 'norm1', op: 'batchNorm', inputs: ['grouped'] },
    { name: 'relu6', op: 'relu6', inputs: ['norm1'] },
    { name: 'depthwise', op: 'conv2d', inputs: ['relu6'], filters: 8, kernelSize: 3, strides: 2, groups: 8 },
    { name: 'norm2', op: 'batchNorm', inputs: ['depthwise'], scale: false, epsilon: 0.00001 },
    { name: 'silu', op: 'silu', inputs: ['norm2'] },
    { name: 'pooled', op: 'maxPool', inputs: ['relu6'], poolSize: 3, strides: 2, padding: 'same' },
    { name: 'mean', op: 'averagePool', inputs: ['relu6'], poolSize: 3, strides: 2, padding: 'same' },
    { name: 'sum', op: 'add', inputs: ['silu', 'pooled', 'mean'] },
    { name: 'squeeze', op: 'globalAveragePool', inputs: ['sum'] },
    { name: 'squeezed', op: 'dense', inputs: ['squeeze'], units: 6 },
    { name: 'norm3', op: 'batchNorm', inputs: ['squeezed'], offset: false },
    { name: 'relu', op: 'relu', inputs: ['norm3'] },
    { name: 'excited', op: 'dense', inputs: ['relu'], units: 8, bias: false },
    { name: 'gate', op: 'sigmoid', inputs: ['excited'] },
    { name: 'gated', op: 'multiply', inputs: ['sum', 'gate'] },
    { name: 'product', op: 'multiply', inputs: ['gated', 'pooled'] },
    { name: 'asymmetric', op: 'conv2d', inputs: ['product'], filters: 5, kernelSize: [2, 2], padding: 'valid' },
    { name: 'padded', op: 'pad', inputs: ['asymmetric'], rows: [1, 0], columns: [0, 1], channels: [1, 2] },
    { name: 'joined', op: 'concat', inputs: ['padded', 'sum'] },
    { name: 'peak', op: 'globalMaxPool', inputs: ['joined'] },
    { name: 'small', op: 'maxPool', inputs: ['joined'], poolSize: 2, strides: 2 },
    { name: 'flat', op: 'flatten', inputs: ['small'] },
    { name: 'image', op: 'reshape', inputs: ['flat'], shape: [4, 4, 4] },
    { name: 'mixed', op: 'conv2d', inputs: ['image'], filters: 3, kernelSize: 1, strides: 2 },
    { name: 'rest', op: 'flatten', inputs: ['mixed'] },
    { name: 'features', op: 'concat', inputs: ['peak', 'rest'] },
    { name: 'dropped', op: 'dropout', inputs: ['features'], rate: 0.25 },
    { name: 'logits', op: 'dense', inputs: ['dropped'], units: 'classes' },
  ],
};

/** Few kernels, because a software driver of WebGPU takes a second to compile each of them, in every process. */
export const fewKernels = {
  name: 'small',
  nodes: [
    { name: 'conv', op: 'conv2d', inputs: ['input'], filters: 4, kernelSize: 3, strides: 2 },
    { name: 'bn', op: 'batchNorm', inputs: ['conv'] },
    { name: 'active', op: 'relu', inputs: ['bn'] },
    { name: 'pool', op: 'globalAveragePool', inputs: ['active'] },
    { name: 'dense', op: 'dense', inputs: ['pool'], units: 'classes' },
  ],
};
