// A network that users choose by name, with options such as `wide-resnet:depth=16,width=4`. registry.ts lists them.
import * as z from 'zod';
import type { NetworkGraph } from '../graph.js';

/** An option of a named network. Its value is read from text. */
export interface NetworkOption<Value> {
  schema: z.ZodType<Value, string>;
  default: Value;
  /** Description of the valid values, for error messages. */
  allowed: string;
  help: string;
  /** Returns the text that stands for a value; String() by default. */
  format?: (value: Value) => string;
}

export interface NamedNetwork {
  help: string;
  options: Readonly<Record<string, NetworkOption<unknown>>>;
  /** Returns the graph. The options have been read with their schemas. */
  build: (options: Readonly<Record<string, unknown>>) => NetworkGraph;
}

/** Defines a network with typed options. */
// oxlint-disable-next-line typescript/no-explicit-any -- each option has a type of its own
export function namedNetwork<const Options extends Record<string, NetworkOption<any>>>(definition: {
  help: string;
  options: Options;
  build: (options: { [Name in keyof Options]: Options[Name]['default'] }) => NetworkGraph;
}): NamedNetwork {
  return definition as unknown as NamedNetwork;
}

const wholeText = z
  .string()
  .regex(/^\d{1,9}$/)
  .transform(Number);

export function wholeNumber(minimum: number, maximum: number) {
  return {
    schema: wholeText.pipe(z.int().min(minimum).max(maximum)),
    allowed: `a whole number from ${minimum} to ${maximum}`,
  };
}

export function positiveNumber(maximum: number) {
  return {
    schema: z
      .string()
      .regex(/^\d{1,9}(\.\d{1,9})?$/)
      .transform(Number)
      .pipe(z.number().positive().max(maximum)),
    allowed: `a number above 0 and up to ${maximum}`,
  };
}

/** A list such as `300-100`. */
export function wholeNumbers(minimum: number, maximum: number, maximumCount: number) {
  return {
    schema: z
      .string()
      .transform((text) => text.split('-'))
      .pipe(z.array(wholeText.pipe(z.int().min(minimum).max(maximum))).max(maximumCount)),
    allowed: `up to ${maximumCount} whole numbers from ${minimum} to ${maximum}, such as 300-100`,
    format: (numbers: readonly number[]) => numbers.join('-'),
  };
}

/** How a network for photos begins. */
export const stems = ['imagenet', 'small'] as const;
export type Stem = (typeof stems)[number];

export const stemOption = {
  schema: z.enum(stems) as z.ZodType<Stem, string>,
  default: 'imagenet' as Stem,
  allowed: 'imagenet or small',
  help: 'first layers: for images of 224×224 pixels, or with fewer strides for images of up to 64×64 pixels',
};
