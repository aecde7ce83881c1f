import { describe, expect, it } from 'vitest';
import { readConfig } from '../../../cli/options/config-options.js';

describe('options without a default', () => {
  it('are parsed as numbers, lists of numbers or text, as their fields require', async () => {
    const flags = { resizedCrop: '0.2', imageSize: '96', pixelMean: '127.5,120,1', data: '64' };
    expect(await readConfig({ ...flags, preprocessing: 'standardize' })).toEqual({
      resizedCrop: 0.2,
      imageSize: 96,
      pixelMean: [127.5, 120, 1],
      data: '64',
      preprocessing: 'standardize',
    });
  });

  it('are refused by name', async () => {
    await expect(readConfig({ preprocessing: 'standardize', pixelStd: '1,x' })).rejects.toThrow(
      '--pixel-std is [1,"x"]: it must be one positive number per channel, separated by commas',
    );
  });
});
