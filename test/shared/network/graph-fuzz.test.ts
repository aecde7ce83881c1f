// Mutated graphs, as a hostile coordinator or a damaged file may contain them: each is either valid, and then has a layout
// within the limits, or refused with a LockstepError.
import {
  array,
  assert as assertProperty,
  constantFrom,
  double,
  integer,
  jsonValue,
  nat,
  oneof,
  property,
  record,
  string,
  uint8Array,
} from 'fast-check';
import { expect, it } from 'vitest';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { LockstepError } from '../../../shared/errors.js';
import { decodeGraph, encodeGraph } from '../../../shared/network/graph-json.js';
import { layoutNetwork, maxNetworkValues } from '../../../shared/network/layout.js';
import { parseNetworkChoice } from '../../../shared/network/networks/registry.js';
import { resnet } from '../../../shared/network/networks/resnet.js';

const runs = Number(process.env['LOCKSTEP_HOSTILE_MESSAGES'] ?? 2_000);
const originals = [
  resnet({ depth: 8, initialFilters: 4, shortcut: 'identity', convBias: true, bnEpsilon: 0.001 }),
  ...['speedrun', 'mlp', 'wide-resnet:depth=10,width=1', 'mobilenet:width=0.1,stem=small'].map((text) =>
    parseNetworkChoice(text, 'network').build!(),
  ),
].map((graph) => Buffer.from(encodeGraph(graph)).toString());

const strange = oneof(
  constantFrom<unknown>(null, true, '', 'input', 'classes', [], {}, [[]], -1, 0, 0.5, 1e9, 1e308, 65_536, 64, 2 ** 31),
  integer({ min: -5, max: 300 }),
  string({ maxLength: 20 }),
  jsonValue({ maxDepth: 3 }),
);

/** Replaces, removes or copies a value somewhere in JSON. @param at where, from 0 to 1 at each level */
function mutate(value: unknown, at: readonly number[], change: unknown, kind: number): unknown {
  if (typeof value !== 'object' || value === null || at.length === 0) return change;
  const entries = Object.entries(value);
  const index = Math.floor(at[0] * entries.length);
  const inner = entries[index]?.[1] as unknown;
  if (at.length === 1 && kind === 1) entries.splice(index, 1);
  else if (at.length === 1 && kind === 2 && entries.length > 0) entries.splice(index, 0, entries[index]);
  else if (entries.length > 0) entries[index] = [entries[index][0], mutate(inner, at.slice(1), change, kind)];
  return Array.isArray(value) ? entries.map(([, each]) => each as unknown) : Object.fromEntries(entries);
}

/** Returns what becomes of a graph. Throws whatever is not a LockstepError. */
function outcomeOf(bytes: Uint8Array): string {
  try {
    const { weightsSize, statisticsSize } = layoutNetwork(decodeGraph(bytes, 'the graph'), cifar10Format);
    return weightsSize + statisticsSize <= maxNetworkValues ? 'valid' : 'too large';
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    return error.message.length < 2_000 ? error.code : 'a message that is too long';
  }
}

it('a mutated graph is valid or refused', () => {
  const outcomes = new Set<string>();
  const mutation = record({
    at: array(double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 6 }),
    change: strange,
    kind: nat({ max: 2 }),
  });
  assertProperty(
    property(constantFrom(...originals), array(mutation, { minLength: 1, maxLength: 3 }), (json, mutations) => {
      let graph: unknown = JSON.parse(json);
      for (const { at, change, kind } of mutations) graph = mutate(graph, at, change, kind);
      outcomes.add(outcomeOf(Buffer.from(JSON.stringify(graph))));
    }),
    { numRuns: runs },
  );
  expect([...outcomes].filter((outcome) => !['valid', 'bad-config', 'bad-data'].includes(outcome))).toEqual([]);
  expect(outcomes).toContain('valid');
  expect(outcomes).toContain('bad-config');
}, 600_000);

it('damaged bytes of a graph are valid or refused', () => {
  const outcomes = new Set<string>();
  assertProperty(
    property(constantFrom(...originals), nat(), uint8Array({ minLength: 1, maxLength: 8 }), (json, at, damage) => {
      const bytes = Buffer.from(json);
      bytes.set(damage.slice(0, bytes.length), at % Math.max(1, bytes.length - damage.length));
      outcomes.add(outcomeOf(bytes));
    }),
    { numRuns: runs / 4 },
  );
  expect([...outcomes].filter((outcome) => !['valid', 'bad-config', 'bad-data'].includes(outcome))).toEqual([]);
}, 600_000);
