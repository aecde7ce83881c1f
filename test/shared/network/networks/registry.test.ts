import { describe, expect, it } from 'vitest';
import { parseGraph } from '../../../../shared/network/graph-schema.js';
import { layoutNetwork, type DataShape } from '../../../../shared/network/layout.js';
import { networkNames, parseNetworkChoice } from '../../../../shared/network/networks/registry.js';

const graphOf = (text: string) => parseNetworkChoice(text, '`network`').build!();
const layoutOf = (text: string, size: number, classCount: number, channels: DataShape['channels'] = 3) =>
  layoutNetwork(graphOf(text), { height: size, width: size, channels, classCount });

describe('a network by name', () => {
  // Trainable parameters for ImageNet as torchvision 0.20 counts them: models.resnet18(), resnet50(), mobilenet_v2().
  // Wide ResNet 16-4 and 28-10: Zagoruyko & Komodakis 2016, tables 4 and 5 (2.75 and 36.5 million). Speedrun: 24 × 12 + 24
  // (whitening), 9 × (24 × 64 + 64 × 64 + 64 × 256 + 3 × 256 × 256), betas 2 × (64 + 256 + 256), and 256 × 10. mlp:
  // 3072 × 512 + 512 + 512 × 256 + 256 + 256 × 10 + 10.
  it.each([
    ['resnet18', 224, 1000, 11_689_512],
    ['resnet50', 224, 1000, 25_557_032],
    ['mobilenet', 224, 1000, 3_504_872],
    ['wide-resnet', 32, 10, 2_748_890],
    ['wide-resnet:depth=28,width=10', 32, 10, 36_479_194],
    ['speedrun', 32, 10, 1_971_640],
    ['mlp', 32, 10, 1_707_274],
    ['mlp:hidden=300-100', 32, 10, 3072 * 300 + 300 + 300 * 100 + 100 + 1000 + 10],
  ])('%s has as many weights on images of %i pixels and %i classes, as published', (text, size, classes, count) => {
    expect(layoutOf(text, size, classes).weightsSize).toBe(count);
  });

  it.each([
    ['resnet18', 224, [7, 7, 512]],
    ['resnet18', 64, [2, 2, 512]],
    ['resnet18:stem=small', 32, [4, 4, 512]],
    ['resnet18:stem=small', 64, [8, 8, 512]],
    ['resnet50:stem=small', 32, [4, 4, 2048]],
    ['mobilenet', 224, [7, 7, 1280]],
    ['mobilenet:stem=small', 32, [4, 4, 1280]],
    ['mobilenet:width=0.5,stem=small', 64, [8, 8, 1280]],
    ['wide-resnet', 64, [16, 16, 256]],
  ])('%s on images of %i pixels pools features of the shape %j', (text, size, shape) => {
    const { layers } = layoutOf(text, size, 10);
    expect(layers.find(({ op }) => op === 'globalAveragePool')!.inputShapes).toEqual([shape]);
  });

  it('speedrun halves the images three times after whitening: 31, 15, 7 and 3 pixels', () => {
    const { layers, weights } = layoutOf('speedrun', 32, 10);
    const heights = layers.filter(({ op }) => op === 'conv2d').map(({ inputShapes }) => inputShapes[0][0]);
    expect(heights).toEqual([32, 31, 15, 15, 7, 7, 3]);
    expect(layers.at(-1)).toMatchObject({ op: 'scale', factor: [1 / 9] });
    const settings = weights.filter(({ name }) => /^(whitening|group1\/conv1|group1\/bn1)/.test(name));
    expect(settings).toMatchObject([
      { name: 'whitening/conv/kernel', trainable: false, initializer: 'whitening' },
      { name: 'whitening/conv/bias', trainable: true, weightDecay: true, learningRateFactor: 1 },
      { name: 'group1/conv1/kernel', initializer: 'dirac', weightDecay: true, learningRateFactor: 1 },
      { name: 'group1/bn1/beta', initializer: 'zeros', weightDecay: true, learningRateFactor: 64 },
    ]);
  });

  it.each(networkNames.filter((name) => name !== 'resnet'))('%s is a valid graph', (name) => {
    const graph = graphOf(name);
    expect(parseGraph(JSON.parse(JSON.stringify(graph)), name)).toEqual(graph);
  });

  it.each(networkNames.filter((name) => !['resnet', 'speedrun'].includes(name)))('%s takes gray images', (name) => {
    expect(layoutOf(name, 32, 10, 1).layers[0].shape).toEqual([32, 32, 1]);
  });

  it('speedrun is refused for gray images, whose patches have too few directions', () => {
    expect(() => layoutOf('speedrun', 32, 10, 1)).toThrow(
      'network node "whitening/conv": filters is 24: whitening gray images with a kernel of 2×2 makes an even number of at most 8',
    );
  });

  it('has one text for all equal choices', () => {
    const textOf = (text: string) => parseNetworkChoice(text, 'network').text;
    expect(textOf('wide-resnet:width=8,depth=16')).toBe('wide-resnet:width=8');
    expect(textOf('wide-resnet:width=8,depth=22')).toBe('wide-resnet:depth=22,width=8');
    expect(textOf('mlp:hidden=512-256')).toBe('mlp');
    expect(textOf('mlp:hidden=0512')).toBe('mlp:hidden=512');
  });

  it.each([
    [
      'vgg16',
      /`network` is "vgg16": there is no network "vgg16": it must be resnet, resnet18, .* or a network as JSON/,
    ],
    ['toString', /there is no network "toString"/],
    ['resnet:depth=20', /resnet has no options here: use the fields `depth`, /],
    ['wide-resnet:', /"" must be OPTION=VALUE/],
    ['wide-resnet:depth', /"depth" must be OPTION=VALUE/],
    ['wide-resnet:filters=3', /there is no option "filters": those of wide-resnet are depth, width/],
    ['wide-resnet:__proto__=3', /there is no option "__proto__"/],
    ['wide-resnet:depth=18', /the option depth must be 6n\+4, from 10 to 1000/],
    ['wide-resnet:depth=1e3', /the option depth must be 6n\+4/],
    ['wide-resnet:width=2,width=3', /the option width is given twice/],
    ['mobilenet:width=0', /the option width must be a number above 0 and up to 4/],
    ['resnet18:stem=large', /the option stem must be imagenet or small/],
    ['mlp:hidden=5,', /"" must be OPTION=VALUE/],
    ['mlp:hidden=5--6', /the option hidden must be up to 32 whole numbers/],
    ['speedrun:width=2', /there is no option "width": speedrun has none/],
  ])('%s is refused', (text, message) => {
    expect(() => parseNetworkChoice(text, '`network`')).toThrow(
      expect.objectContaining({ code: 'bad-config', message: expect.stringMatching(message) as string }),
    );
  });
});
