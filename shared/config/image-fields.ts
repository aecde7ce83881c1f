// Configuration fields for the preprocessing and augmentation of images. They are part of the recipe.
import * as z from 'zod';
import { maxImageSize } from '../dataset/description.js';
import {
  cropMargin,
  cropPaddings,
  flipModes,
  maxCropMargin,
  preprocessingNames,
  type CropPadding,
  type FlipMode,
  type PreprocessingName,
} from '../dataset/image-batch.js';
import { testTimeAugmentations, type TestTimeAugmentation } from '../dataset/test-time-augmentation.js';
import { boolean, field, fraction, positive } from './field.js';

/** One value per channel of the images, or null. */
function optionalChannelValues(value: z.ZodType<number, number>, allowed: string) {
  return { schema: z.array(value).min(1).max(3).nullable(), default: null, allowed, isList: true as const };
}

export const imageFields = {
  preprocessing: field<PreprocessingName>({
    schema: z.enum(preprocessingNames),
    default: 'imagenet',
    allowed: 'imagenet, per-pixel-mean, standardize or none',
    help:
      'how pixels are normalized: imagenet (subtract the ImageNet channel means, or their luminance from gray images, ' +
      'divide by 255), per-pixel-mean (subtract the mean training image, divide by 255), standardize (subtract the channel means of the training ' +
      'images, divide by their standard deviations) or none (use the bytes, 0 to 255)',
    placeholder: 'NAME',
  }),
  pixelMean: field<readonly number[] | null>({
    ...optionalChannelValues(z.number().finite(), 'one number per channel, separated by commas'),
    help: 'with --preprocessing standardize, subtract these values from red, green and blue, or from gray, in units of 0 to 255 (default: measured)',
    placeholder: 'VALUES',
  }),
  pixelStd: field<readonly number[] | null>({
    ...optionalChannelValues(positive.schema, 'one positive number per channel, separated by commas'),
    help: 'with --preprocessing standardize, divide red, green and blue, or gray, by these values, in units of 0 to 255 (default: measured)',
    placeholder: 'VALUES',
  }),
  augment: field({
    ...boolean,
    default: true,
    help: 'flip and crop training images at random, and apply the other random changes that are set',
    helpOff: 'use training images as they are, without any random change',
  }),
  flip: field<FlipMode>({
    schema: z.enum(flipModes),
    default: 'random',
    allowed: 'random, alternating or none',
    help:
      'which images are flipped: random, alternating (random in the first epoch, after which each image is flipped ' +
      'in every other epoch) or none. Digits and letters, such as those of MNIST, are never flipped',
    placeholder: 'MODE',
  }),
  cropPadding: field<CropPadding>({
    schema: z.enum(cropPaddings),
    default: 'zeros',
    allowed: 'zeros or reflect',
    help: 'how to fill the padding around an image before cropping: zeros, or reflect (mirror the image at its edges)',
    placeholder: 'KIND',
  }),
  cropMargin: field({
    schema: z.int().min(0).max(maxCropMargin),
    default: cropMargin,
    allowed: `a whole number from 0 to ${maxCropMargin}`,
    help: 'pixels of padding on each side of an image before it is cropped at random to its size; 0 disables crops',
    placeholder: 'PIXELS',
  }),
  resizedCrop: field<number | null>({
    schema: z.number().positive().max(1).nullable(),
    default: null,
    allowed: 'a number above 0, at most 1',
    help:
      "instead of crops of padded images, crop a random area and resize it to the image's size: the smallest share of the " +
      "image that is cropped, such as 0.08; the largest is 1, and the aspect ratio changes by 3/4 to 4/3 (PyTorch's RandomResizedCrop)",
    placeholder: 'X',
  }),
  brightnessJitter: field({
    ...fraction,
    default: 0,
    help: "change the brightness by a random factor from 1 - X to 1 + X (PyTorch's ColorJitter)",
    placeholder: 'X',
  }),
  contrastJitter: field({
    ...fraction,
    default: 0,
    help: 'change the contrast by a random factor from 1 - X to 1 + X',
    placeholder: 'X',
  }),
  saturationJitter: field({
    ...fraction,
    default: 0,
    help: 'change the color saturation by a random factor from 1 - X to 1 + X',
    placeholder: 'X',
  }),
  cutout: field({
    schema: z.int().min(0).max(maxImageSize),
    default: 0,
    allowed: `a whole number from 0 to ${maxImageSize}`,
    help: 'size of a square at a random position that is set to the mean color (DeVries & Taylor 2017); 0 disables it',
    placeholder: 'PIXELS',
  }),
  augmentValidation: field({ ...boolean, default: false, help: 'augment validation images at random too' }),
  testTimeAugmentation: field<TestTimeAugmentation>({
    schema: z.enum(testTimeAugmentations),
    default: 'none',
    allowed: 'none, flip or flip-and-shift',
    help:
      'average the logits over views of each validation and test image: none, flip (the image and its mirror image) or ' +
      'flip-and-shift (these and their shifts by one pixel, up-left and down-right, with half the weight)',
    placeholder: 'VIEWS',
  }),
};
