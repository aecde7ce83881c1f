// Generates synthetic images of ten classes in CIFAR-10's layout, for machines without the real dataset. Every image is
// a pure function of (seed, split, index). The code uses only + - * /, floor, sqrt and comparisons, whose results IEEE
// 754 defines exactly; results of sin and exp differ between versions of V8. Changing any of the constants below
// changes the weights of every run on these images.
import { LockstepError } from '../errors.js';
import { KeyedRandom } from '../random.js';
import { cifar10Format, describeCifar10, type Cifar10 } from './cifar10-layout.js';

const { classCount, height: imageSize, planePixels: pixelsPerPlane, recordBytes } = cifar10Format;

export type Split = 'training' | 'test';

export const defaultTrainingImages = 50_000;
export const defaultTestImages = 10_000;

/** Returns the signed distance to a shape's edge, negative inside. Shapes are about as large as a disc of radius 1. */
type Outline = (x: number, y: number) => number;

const outlines = {
  disc: (x, y) => Math.sqrt(x * x + y * y) - 1,
  ring: (x, y) => Math.abs(Math.sqrt(x * x + y * y) - 0.78) - 0.32,
  square: (x, y) => Math.max(Math.abs(x), Math.abs(y)) - 0.88,
  // (0.866…, -0.5) is the unit normal of an equilateral triangle's right side; 0.866… is the cosine of 30°.
  triangle: (x, y) => Math.max(y, 0.8660254 * Math.abs(x) - 0.5 * y) - 0.62,
  cross: (x, y) => {
    const long = Math.max(Math.abs(x), Math.abs(y));
    const short = Math.min(Math.abs(x), Math.abs(y));
    return Math.max(long - 1.12, short - 0.4);
  },
} satisfies Record<string, Outline>;

/**
 * Returns the share of the second color at a point, from 0 to 1. The unit of the coordinates is the pattern's period.
 */
type Pattern = (x: number, y: number) => number;

/** Returns a value that alternates between 0 and 1 along a line, with linear ramps in between for antialiasing. */
function stripe(position: number): number {
  const phase = position - Math.floor(position);
  return unit(0.5 + (Math.abs(2 * phase - 1) - 0.5) * 3);
}

const patterns = {
  plain: () => 0,
  striped: (x) => stripe(x),
  checked: (x, y) => {
    const across = stripe(x);
    const down = stripe(y);
    return across * (1 - down) + down * (1 - across);
  },
  spotted: (x, y) => {
    const fromCenterX = x - Math.floor(x) - 0.5;
    const fromCenterY = y - Math.floor(y) - 0.5;
    return unit(0.5 + (0.09 - fromCenterX * fromCenterX - fromCenterY * fromCenterY) * 10);
  },
} satisfies Record<string, Pattern>;

type ShapeName = keyof typeof outlines;
type PatternName = keyof typeof patterns;
const shapeNames = Object.keys(outlines) as ShapeName[];
const patternNames = Object.keys(patterns) as PatternName[];

/**
 * Visual features of a class. Neither the shape nor the pattern alone identifies the class: each shape occurs in two
 * classes, each pattern in two or three. Hues (0 to 1 around the color wheel) vary from image to image, and the hue
 * ranges of similar classes overlap.
 */
interface Subject {
  shape: ShapeName;
  pattern: PatternName;
  hue: number;
  backdropHue: number;
}

const subjects: readonly Subject[] = [
  { shape: 'disc', pattern: 'striped', hue: 0, backdropHue: 0.6 },
  { shape: 'disc', pattern: 'spotted', hue: 0.7, backdropHue: 0.3 },
  { shape: 'ring', pattern: 'plain', hue: 0.4, backdropHue: 0 },
  { shape: 'ring', pattern: 'checked', hue: 0.1, backdropHue: 0.7 },
  { shape: 'square', pattern: 'striped', hue: 0.8, backdropHue: 0.4 },
  { shape: 'square', pattern: 'spotted', hue: 0.5, backdropHue: 0.1 },
  { shape: 'triangle', pattern: 'plain', hue: 0.2, backdropHue: 0.8 },
  { shape: 'triangle', pattern: 'striped', hue: 0.9, backdropHue: 0.5 },
  { shape: 'cross', pattern: 'plain', hue: 0.6, backdropHue: 0.2 },
  { shape: 'cross', pattern: 'checked', hue: 0.3, backdropHue: 0.9 },
];

const syntheticClassNames = subjects.map(({ shape, pattern }) => `${pattern} ${shape}`);

/** Major indices of the random keys, which give the images and labels of each split independent random numbers. */
const keyMajors = { training: { images: 0, labels: 2 }, test: { images: 1, labels: 3 } } as const;

/**
 * Generates `count` records. A larger count only appends records. Each block of ten records contains each class once,
 * in random order.
 * @param options.seed an integer from 0 to 2^53 - 1
 */
export function synthesizeRecords(options: { seed: number; split: Split; count: number }): Uint8Array {
  const { seed, split, count } = options;
  if (!Number.isSafeInteger(count) || count < 1) {
    throw new LockstepError(
      'bad-option',
      `the number of ${split} images is ${count}: it must be an integer of at least 1`,
    );
  }
  const majors = keyMajors[split];
  const records = new Uint8Array(count * recordBytes);
  const canvas = new Canvas();
  let labels: Uint32Array = new Uint32Array();
  for (let index = 0; index < count; index++) {
    const inBlock = index % classCount;
    if (inBlock === 0) {
      const block = Math.floor(index / classCount);
      labels = new KeyedRandom(seed, 'synthesis', majors.labels, block).permutation(classCount);
    }
    const label = labels[inBlock];
    const record = records.subarray(index * recordBytes, (index + 1) * recordBytes);
    record[0] = label;
    const random = new ImageRandom(new KeyedRandom(seed, 'synthesis', majors.images, index));
    paintImage(subjects[label], random, canvas, record);
  }
  return records;
}

/** Generates a complete dataset, by default as large as CIFAR-10, which takes a few seconds and 184 MB. */
export function synthesizeDataset(
  options: { seed?: number; trainingImages?: number; testImages?: number } = {},
): Cifar10 {
  const { seed = 0, trainingImages = defaultTrainingImages, testImages = defaultTestImages } = options;
  return {
    description: describeCifar10(syntheticClassNames, 'synthetic'),
    training: synthesizeRecords({ seed, split: 'training', count: trainingImages }),
    validation: null,
    test: synthesizeRecords({ seed, split: 'test', count: testImages }),
    source: `synthetic images (seed ${seed}, ${trainingImages} training, ${testImages} test)`,
  };
}

/**
 * Paints a background, a few small distractors, the subject and sometimes a bar in front of it, then applies lighting
 * and noise.
 */
function paintImage(subject: Subject, random: ImageRandom, canvas: Canvas, record: Uint8Array): void {
  paintBackdrop(canvas, subject, random);
  const clutter = random.integer(4);
  for (let i = 0; i < clutter; i++) {
    const color = anyColor(random);
    paintShape(canvas, random, {
      outline: outlines[shapeNames[random.integer(shapeNames.length)]],
      pattern: patterns[patternNames[random.integer(patternNames.length)]],
      colors: [color, contrasting(color, random)],
      radius: random.between(2, 4),
      centerX: random.between(0, imageSize),
      centerY: random.between(0, imageSize),
    });
  }
  const color = colorNear(subject.hue, random);
  paintShape(canvas, random, {
    outline: outlines[subject.shape],
    pattern: patterns[subject.pattern],
    colors: [color, contrasting(color, random)],
    radius: random.between(7, 12),
    centerX: random.between(10.5, 21.5),
    centerY: random.between(10.5, 21.5),
  });
  if (random.uniform() < 0.4) paintBar(canvas, random);
  exposeInto(record, canvas, random);
}

/** Paints a color gradient across the image, with a coarse grid of lighter and darker patches. */
function paintBackdrop(canvas: Canvas, subject: Subject, random: ImageRandom): void {
  const from = colorNear(subject.backdropHue, random);
  const to = random.uniform() < 0.5 ? colorNear(subject.backdropHue, random) : anyColor(random);
  const [directionX, directionY] = random.direction();
  const roughness = random.between(0, 0.5);
  const cells = 4;
  const patches = Float64Array.from({ length: (cells + 1) * (cells + 1) }, () => (random.uniform() - 0.5) * roughness);
  const cellSize = imageSize / cells;
  for (let row = 0; row < imageSize; row++) {
    const patchRow = Math.floor(row / cellSize);
    const down = row / cellSize - patchRow;
    for (let column = 0; column < imageSize; column++) {
      const patchColumn = Math.floor(column / cellSize);
      const across = column / cellSize - patchColumn;
      const corner = patchRow * (cells + 1) + patchColumn;
      const upper = patches[corner] * (1 - across) + patches[corner + 1] * across;
      const lower = patches[corner + cells + 1] * (1 - across) + patches[corner + cells + 2] * across;
      const patch = upper * (1 - down) + lower * down;
      const slope = 0.5 + ((column - 15.5) * directionX + (row - 15.5) * directionY) / 44;
      const pixel = row * imageSize + column;
      canvas.red[pixel] = from[0] + (to[0] - from[0]) * slope + patch;
      canvas.green[pixel] = from[1] + (to[1] - from[1]) * slope + patch;
      canvas.blue[pixel] = from[2] + (to[2] - from[2]) * slope + patch;
    }
  }
}

interface PatternedShape {
  outline: Outline;
  pattern: Pattern;
  colors: readonly [Color, Color];
  /** Radius in pixels. */
  radius: number;
  /** Center, in pixels from the left and top edges. */
  centerX: number;
  centerY: number;
}

/** Paints a shape, randomly rotated, stretched and bent. */
function paintShape(canvas: Canvas, random: ImageRandom, shape: PatternedShape): void {
  const { outline, pattern, radius, centerX, centerY } = shape;
  const [first, second] = shape.colors;
  const [turnX, turnY] = random.direction();
  const stretch = random.between(0.78, 1.28);
  const bend = random.between(-0.25, 0.25);
  const [patternX, patternY] = random.direction();
  const period = random.between(3.6, 6.5);
  const phaseX = random.uniform();
  const phaseY = random.uniform();
  const edgeSoftness = random.between(0.8, 2);

  const reach = radius * 1.9;
  const firstRow = Math.max(0, Math.floor(centerY - reach));
  const lastRow = Math.min(imageSize - 1, Math.floor(centerY + reach));
  const firstColumn = Math.max(0, Math.floor(centerX - reach));
  const lastColumn = Math.min(imageSize - 1, Math.floor(centerX + reach));
  for (let row = firstRow; row <= lastRow; row++) {
    const dy = row + 0.5 - centerY;
    for (let column = firstColumn; column <= lastColumn; column++) {
      const dx = column + 0.5 - centerX;
      const y = ((dy * turnX - dx * turnY) * stretch) / radius;
      const x = (dx * turnX + dy * turnY) / (radius * stretch) + bend * (y * y - 0.4);
      const coverage = unit(0.5 - (outline(x, y) * radius) / edgeSoftness);
      if (coverage === 0) continue;
      const share = pattern(
        (dx * patternX + dy * patternY) / period + phaseX,
        (dy * patternX - dx * patternY) / period + phaseY,
      );
      canvas.cover(row * imageSize + column, coverage, first, second, share);
    }
  }
}

/** Paints a solid-colored bar across the whole image. */
function paintBar(canvas: Canvas, random: ImageRandom): void {
  const color = anyColor(random);
  const [directionX, directionY] = random.direction();
  const offset = random.between(-9, 9);
  const halfWidth = random.between(1, 3);
  for (let row = 0; row < imageSize; row++) {
    for (let column = 0; column < imageSize; column++) {
      const distance = Math.abs((column - 15.5) * directionX + (row - 15.5) * directionY - offset) - halfWidth;
      const coverage = unit(0.5 - distance);
      if (coverage > 0) canvas.cover(row * imageSize + column, coverage, color, color, 0);
    }
  }
}

/** Applies brightness, a color cast and noise, and writes the bytes. */
function exposeInto(record: Uint8Array, canvas: Canvas, random: ImageRandom): void {
  const light = random.between(0.6, 1.15);
  const offset = random.between(-25, 35);
  const gains = [random.between(0.85, 1.15), random.between(0.85, 1.15), random.between(0.85, 1.15)] as const;
  const red = 255 * light * gains[0];
  const green = 255 * light * gains[1];
  const blue = 255 * light * gains[2];
  // Noise bytes are from 0 to 255. Subtracting their mean, 127.5, centers the noise at 0.
  const noise = random.between(0.04, 0.42);
  const base = offset - 127.5 * noise;
  for (let pixel = 0; pixel < pixelsPerPlane; pixel++) {
    const bits = random.bits();
    record[1 + pixel] = level(canvas.red[pixel] * red + base + (bits & 255) * noise);
    record[1 + pixelsPerPlane + pixel] = level(canvas.green[pixel] * green + base + ((bits >>> 8) & 255) * noise);
    record[1 + 2 * pixelsPerPlane + pixel] = level(canvas.blue[pixel] * blue + base + ((bits >>> 16) & 255) * noise);
  }
}

/** Red, green and blue, each from 0 to 1. */
type Color = readonly [number, number, number];

/**
 * Returns a random color whose hue differs from the given hue by at most 0.3 turns; small differences are the most
 * likely.
 */
function colorNear(hue: number, random: ImageRandom): Color {
  const spread = (random.uniform() + random.uniform() - 1) * 0.3;
  return colorOf(hue + spread, random.between(0.15, 0.95), random.between(0.3, 1));
}

function anyColor(random: ImageRandom): Color {
  return colorOf(random.uniform(), random.between(0, 0.95), random.between(0.15, 1));
}

/** Returns a random color that is clearly lighter or darker than the given color, with a somewhat different hue. */
function contrasting(color: Color, random: ImageRandom): Color {
  const brightness = (color[0] + color[1] + color[2]) / 3;
  const towards = brightness < 0.5 ? 1 : 0;
  const strength = random.between(0.35, 0.85);
  const tint = anyColor(random);
  const blend = (channel: 0 | 1 | 2) =>
    color[channel] * (1 - strength) + strength * (towards * 0.75 + tint[channel] * 0.25);
  return [blend(0), blend(1), blend(2)];
}

/** Converts hue (in turns; any number), saturation and value to a color. */
function colorOf(hue: number, saturation: number, value: number): Color {
  const channel = (shift: number) => {
    const sixths = shift + 6 * hue;
    const around = sixths - 6 * Math.floor(sixths / 6);
    return value * (1 - saturation * unit(Math.min(around, 4 - around)));
  };
  return [channel(5), channel(3), channel(1)];
}

function unit(value: number): number {
  return value < 0 ? 0 : value > 1 ? 1 : value;
}

function level(value: number): number {
  return value < 0 ? 0 : value > 255 ? 255 : Math.floor(value);
}

/** Three planes of color values. One canvas is reused for all images. */
class Canvas {
  readonly red = new Float64Array(pixelsPerPlane);
  readonly green = new Float64Array(pixelsPerPlane);
  readonly blue = new Float64Array(pixelsPerPlane);

  /**
   * Blends a mixture of two colors over a pixel.
   * @param share share of the second color in the mixture
   */
  cover(pixel: number, coverage: number, first: Color, second: Color, share: number): void {
    const kept = 1 - coverage;
    this.red[pixel] = this.red[pixel] * kept + coverage * (first[0] + (second[0] - first[0]) * share);
    this.green[pixel] = this.green[pixel] * kept + coverage * (first[1] + (second[1] - first[1]) * share);
    this.blue[pixel] = this.blue[pixel] * kept + coverage * (first[2] + (second[2] - first[2]) * share);
  }
}

/**
 * Generates the random numbers for one image with sfc32 (Chris Doty-Humphrey), seeded from the image's key. An image
 * needs more than a thousand numbers, for which Threefry would be too slow.
 */
class ImageRandom {
  /** State of the generator: a, b, c and the counter. */
  readonly #state = new Int32Array(4);

  constructor(random: KeyedRandom) {
    this.#state.set(random.wordsAt(0), 0);
    this.#state.set(random.wordsAt(1), 2);
    this.#state[3] = 1;
  }

  /** Returns 32 random bits as a signed integer. */
  bits(): number {
    const state = this.#state;
    const b = state[1];
    const c = state[2];
    const counter = state[3];
    const sum = (state[0] + b + counter) | 0;
    state[0] = b ^ (b >>> 9);
    state[1] = c + (c << 3);
    state[2] = ((c << 21) | (c >>> 11)) + sum;
    state[3] = counter + 1;
    return sum;
  }

  /** Returns a number in [0, 1), a multiple of 2^-32. */
  uniform(): number {
    return (this.bits() >>> 0) / 2 ** 32;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** Returns an integer in [0, limit). */
  integer(limit: number): number {
    return Math.floor(this.uniform() * limit);
  }

  /**
   * Returns a unit vector in a uniformly random direction: a random point in the unit disc, excluding its center,
   * normalized.
   */
  direction(): readonly [number, number] {
    for (;;) {
      const x = this.between(-1, 1);
      const y = this.between(-1, 1);
      const squared = x * x + y * y;
      if (squared > 1 || squared < 0.01) continue;
      const length = Math.sqrt(squared);
      return [x / length, y / length];
    }
  }
}
