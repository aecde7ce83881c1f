// Validates graphs from files, messages and callers of the library. Errors name the node, the attribute and the values
// that it can have.
import * as z from 'zod';
import { LockstepError } from '../errors.js';
import { weightNamesOf } from './freeze.js';
import {
  activations,
  channelOrders,
  initializers,
  inputName,
  paddingModes,
  weightNames,
  type GraphNode,
  type NetworkGraph,
} from './graph.js';

/** Maximum number of nodes. A ResNet with 2,000 weighted layers has about 7,000. */
export const maxNodes = 10_000;
/** Maximum number of filters, units and channels. */
const maxWidth = 65_536;
const maxKernelSize = 64;
const maxNameLength = 200;
const maxInputs = 64;

const between = (minimum: number, maximum: number) => {
  const allowed = `a whole number from ${minimum} to ${maximum}`;
  return { allowed, schema: z.int(allowed).min(minimum, allowed).max(maximum, allowed) };
};
const pair = ({ allowed, schema }: ReturnType<typeof between>) =>
  z.union([schema.transform((size) => [size, size] as const), z.tuple([schema, schema])], {
    error: `${allowed}, or one for height and one for width`,
  });
const oneOf = <const Values extends readonly string[]>(values: Values) => z.enum(values, { error: listOf(values) });
const flag = z.boolean('true or false');
const finite = (allowed = 'a finite number') => z.number(allowed).refine(Number.isFinite, allowed);

function listOf(values: readonly string[]): string {
  return values.length === 1 ? values[0] : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
}

const width = between(1, maxWidth).schema;
const names = `a text of 1 to ${maxNameLength} visible characters without spaces`;
const nodeName = z.string(names).regex(/^[\x21-\x7e\u00a1-\uffff]{1,200}$/, names);
const inputs = (count: number, maximum = count) => {
  const allowed =
    count === maximum ? `a list of ${count} ${count === 1 ? 'name' : 'names'}` : `a list of at least ${count} names`;
  return z.array(nodeName, allowed).min(count, allowed).max(maximum, allowed);
};

const settings = z.strictObject({
  trainable: flag.optional(),
  learningRateFactor: z
    .number('a number of at least 0')
    .min(0, 'a number of at least 0')
    .max(1e6, 'at most 1,000,000')
    .optional(),
  weightDecay: flag.optional(),
  initializer: oneOf(initializers).optional(),
});
const weightsOf = (...allowed: (typeof weightNames)[number][]) => ({
  weights: z.strictObject(Object.fromEntries(allowed.map((name) => [name, settings.optional()]))).optional(),
});

const window = pair(between(1, maxKernelSize));
const oneInput = { name: nodeName, inputs: inputs(1) };
const severalInputs = { name: nodeName, inputs: inputs(2, maxInputs) };
const margin = between(0, 4096).schema;
const margins = z.tuple([margin, margin], 'two whole numbers: before and after');
const perChannel = z.union([finite(), z.array(finite()).min(1).max(maxWidth)], {
  error: 'a finite number, or a list with one per channel',
});

const node = z.discriminatedUnion(
  'op',
  [
    z.strictObject({
      ...oneInput,
      op: z.literal('conv2d'),
      filters: width,
      kernelSize: window,
      strides: window.default([1, 1]),
      padding: oneOf(paddingModes).default('same'),
      groups: width.default(1),
      bias: flag.default(true),
      ...weightsOf('kernel', 'bias'),
    }),
    z.strictObject({
      ...oneInput,
      op: z.literal('dense'),
      units: z.union([width, z.literal('classes')], { error: `a whole number from 1 to ${maxWidth}, or "classes"` }),
      bias: flag.default(true),
      ...weightsOf('kernel', 'bias'),
    }),
    z.strictObject({
      ...oneInput,
      op: z.literal('batchNorm'),
      epsilon: finite().min(0, 'a number of at least 0').default(0.001),
      scale: flag.default(true),
      offset: flag.default(true),
      ...weightsOf('gamma', 'beta'),
    }),
    z.strictObject({ ...oneInput, op: oneOf(activations) }),
    z.strictObject({
      ...oneInput,
      op: oneOf(['maxPool', 'averagePool']),
      poolSize: window,
      strides: window,
      padding: oneOf(paddingModes).default('valid'),
    }),
    z.strictObject({ ...oneInput, op: oneOf(['globalAveragePool', 'globalMaxPool']) }),
    z.strictObject({ ...severalInputs, op: z.literal('add') }),
    z.strictObject({ name: nodeName, inputs: inputs(2), op: z.literal('multiply') }),
    z.strictObject({ ...severalInputs, op: z.literal('concat') }),
    z.strictObject({
      ...oneInput,
      op: z.literal('pad'),
      rows: margins.default([0, 0]),
      columns: margins.default([0, 0]),
      channels: margins.default([0, 0]),
    }),
    z.strictObject({ ...oneInput, op: z.literal('flatten') }),
    z.strictObject({
      ...oneInput,
      op: z.literal('reshape'),
      shape: z.union([z.tuple([width]), z.tuple([width, width, width])], { error: '[n] or [height, width, channels]' }),
    }),
    z.strictObject({
      ...oneInput,
      op: z.literal('dropout'),
      rate: z.number('a number of at least 0 and below 1').min(0, 'at least 0').lt(1, 'below 1'),
    }),
    z.strictObject({
      ...oneInput,
      op: z.literal('scale'),
      factor: perChannel.default(1),
      offset: perChannel.default(0),
    }),
  ],
  { error: 'a known operation' },
);

/** Schema of a graph. Checks each attribute on its own; graphProblem checks how the nodes fit together. */
const graph = z.strictObject({
  name: nodeName,
  channelOrder: oneOf(channelOrders).default('rgb'),
  nodes: z
    .array(node, 'a list of nodes')
    .min(1, 'a list of at least one node')
    .max(maxNodes, `at most ${maxNodes} nodes`),
});

/** Returns what is wrong with the connections of a graph, or undefined. */
function graphProblem({ nodes }: NetworkGraph): string | undefined {
  const known = new Set<string>([inputName]);
  const unused = new Set<string>([inputName]);
  for (const each of nodes) {
    const { name, inputs } = each;
    if (known.has(name)) {
      return name === inputName
        ? `a node has the name "${inputName}", which stands for the images: give it another name`
        : `two nodes have the name "${name}": names must be unique`;
    }
    for (const input of inputs) {
      if (!known.has(input)) return `node "${name}" has the input "${input}", but no earlier node has this name`;
      unused.delete(input);
    }
    const arrays = weightNamesOf(each);
    const absent = weightNames.find((array) => each.weights?.[array] !== undefined && !arrays.includes(array));
    if (absent !== undefined) {
      return `node "${name}": weights has settings for ${absent}, but the node has ${arrays.length === 0 ? 'no arrays' : `only ${arrays.join(' and ')}`}`;
    }
    known.add(name);
    unused.add(name);
  }
  unused.delete(nodes.at(-1)!.name);
  const [first] = unused;
  return first === undefined
    ? undefined
    : `nothing uses the output of "${first}": only the last node, which computes the logits, may have no consumer`;
}

/**
 * Returns a valid graph, with defaults filled in, from a value of any type.
 * @param source where the value comes from, for error messages: for example the name of a file
 * Throws `bad-config`, naming the node and the attribute.
 */
export function parseGraph(value: unknown, source: string): NetworkGraph {
  const parsed = graph.safeParse(value);
  if (!parsed.success) throw badGraph(source, problemIn(value, parsed.error.issues[0]));
  // The schema spells "omitted" as a missing key, and the type as undefined; both read the same.
  const valid = parsed.data as NetworkGraph;
  const problem = graphProblem(valid);
  if (problem !== undefined) throw badGraph(source, problem);
  return valid;
}

function badGraph(source: string, problem: string): LockstepError {
  return new LockstepError('bad-config', `${source} is not a valid network: ${problem}`);
}

function problemIn(value: unknown, issue: z.core.$ZodIssue): string {
  const [root, index, ...attribute] = issue.path;
  const isNode = root === 'nodes' && typeof index === 'number';
  const given = issue.path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
    value,
  );
  const where = isNode ? `${describeNode(value, index)}: ` : '';
  const path = (isNode ? attribute : issue.path).join('.');
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => JSON.stringify(key.slice(0, 40))).join(', ');
    const known = isNode && path === '' ? `: ${attributesAt(value, index)}` : '';
    return `${where}${path === '' ? '' : `${path}: `}unknown attribute ${keys}${known}`;
  }
  if (issue.code === 'invalid_union' && path === 'op') {
    return `${where}op is ${shown(given)}: it must be one of ${operations.join(', ')}`;
  }
  if (path === '') return `${where}${isNode ? 'it must be an object' : 'it must be an object with name and nodes'}`;
  return `${where}${path} ${given === undefined ? 'is missing' : `is ${shown(given)}`}: it must be ${issue.message}`;
}

/** Describes the attributes of the operation of a node. */
function attributesAt(value: unknown, index: number): string {
  const { op } = (value as { nodes: readonly { op: unknown }[] }).nodes[index];
  const { shape } = node.options.find((option) => option.shape.op.safeParse(op).success)!;
  return `${String(op)} has ${listOf(Object.keys(shape))}`.replace(/ or (?=\S+$)/, ' and ');
}

function describeNode(value: unknown, index: number): string {
  const nodes = (value as { nodes: readonly unknown[] }).nodes;
  const name: unknown = (nodes[index] as Partial<GraphNode> | null)?.name;
  return typeof name === 'string' ? `node ${JSON.stringify(name.slice(0, maxNameLength))}` : `node number ${index + 1}`;
}

function shown(value: unknown): string {
  // A hostile value may be nested too deeply for JSON.stringify.
  if (typeof value === 'object' && value !== null && Object.values(value).some((inner) => typeof inner === 'object')) {
    return Array.isArray(value) ? 'a list of lists or objects' : 'an object';
  }
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'undefined');
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

const operations = [
  'conv2d',
  'dense',
  'batchNorm',
  ...activations,
  'maxPool',
  'averagePool',
  'globalAveragePool',
  'globalMaxPool',
  'add',
  'multiply',
  'concat',
  'pad',
  'flatten',
  'reshape',
  'dropout',
  'scale',
] as const satisfies readonly GraphNode['op'][];
