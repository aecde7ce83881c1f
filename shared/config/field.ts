// The form of a configuration field, and schemas that several fields share.
import * as z from 'zod';

/** One configuration field. */
export interface Field<Value> {
  schema: z.ZodType<Value>;
  default: Value;
  /** Description of the valid values, for error messages. */
  allowed: string;
  /** Description in --help: an imperative or a noun phrase. */
  help: string;
  /** Description of a switch's --no-… form in --help. By default, "do not" followed by `help`. */
  helpOff?: string;
  /** Placeholder for the value in --help. Switches have none. */
  placeholder?: string;
  /** Whether the value is a list, for fields without a default. On the command line, commas separate its values. */
  isList?: true;
}

export function field<Value>(definition: Field<Value>): Field<Value> {
  return definition;
}

/** Returns the schema and the description of a whole number that is at least `minimum`. */
export function wholeNumber(minimum: number) {
  return { schema: z.int().min(minimum), allowed: `a whole number of at least ${minimum}` };
}

/** Like wholeNumber, but the value may also be null (not set), which is the default. */
export function optionalWholeNumber(minimum: number) {
  const { schema, allowed } = wholeNumber(minimum);
  return { schema: schema.nullable(), default: null, allowed };
}

export const positive = { schema: z.number().positive().finite(), allowed: 'a positive number' };
export const fraction = { schema: z.number().min(0).max(1), allowed: 'a number from 0 to 1' };
export const belowOne = { schema: z.number().min(0).lt(1), allowed: 'a number of at least 0 and below 1' };
export const boolean = { schema: z.boolean(), allowed: 'true or false' };
export const optionalText = { schema: z.string().min(1).nullable(), default: null };
