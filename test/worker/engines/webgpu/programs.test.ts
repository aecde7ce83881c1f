// The dispatches of well-known networks, without a device: their number, and that they fit the limits that every device has.
import { describe, expect, test } from 'vitest';
import { recordFormat } from '../../../../shared/dataset/record-format.js';
import { layoutNetwork, type ModelLayout } from '../../../../shared/network/layout.js';
import { parseNetworkChoice } from '../../../../shared/network/networks/registry.js';
import { resnet } from '../../../../shared/network/networks/resnet.js';
import { parseGraph } from '../../../../shared/network/graph-schema.js';
import { planTables } from '../../../../worker/engines/webgpu/input-tables.js';
import { FixedPlan } from '../../../../worker/engines/webgpu/memory/fixed-plan.js';
import { planSlots } from '../../../../worker/engines/webgpu/memory/slots.js';
import { buildProgram } from '../../../../worker/engines/webgpu/operations/build.js';
import type { Program } from '../../../../worker/engines/webgpu/operations/program.js';
import { everyOperation } from '../../../support/sample-graphs.js';
import { branchingNetwork } from './branches.js';

const data = { height: 32, width: 32, channels: 3, classCount: 10 } as const;
const resnetOptions = { depth: 20, initialFilters: 16, convBias: false, bnEpsilon: 1e-3 } as const;

function programOf(layout: ModelLayout, mode: 'train' | 'evaluate'): Program {
  const fixed = new FixedPlan(layout);
  const { tables } = planTables(fixed, layout, 'imagenet');
  return buildProgram(mode, { layout, format: recordFormat(layout.data), fixed, tables, labelSmoothing: 0 });
}

describe('a training step', () => {
  test('of a ResNet-20 has as many dispatches as its plan says', () => {
    const { dispatches } = programOf(layoutNetwork(resnet({ ...resnetOptions, shortcut: 'identity' }), data), 'train');
    const counts: Record<string, number> = {};
    for (const { phase } of dispatches) counts[phase] = (counts[phase] ?? 0) + 1;
    expect(counts).toEqual({
      images: 1,
      // 19 convolutions and the statistics of their batch norms, 9 residual sums, the pooling and the dense layer.
      forward: 49,
      loss: 1,
      // 18 convolutions and the dense layer.
      'input gradients': 19,
      // 20 products in strips, and 3 sums of up to 7 of them.
      'filter gradients': 23,
      // 19 merges of batch norm's sums and 10 sums that no product could add; the bias; the gradient of the pooling.
      'other gradients': 32,
    });
  });

  test('of a ResNet-20 needs less memory than its values and gradients one by one', () => {
    const { tensors } = programOf(layoutNetwork(resnet({ ...resnetOptions, shortcut: 'identity' }), data), 'train');
    const separate = [...tensors].reduce((sum, tensor) => sum + tensor.bytes(128), 0);
    const shared = planSlots([tensors], 128).slots.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(shared).toBeLessThan(0.6 * separate);
  });
});

const small = { height: 5, width: 7, channels: 3, classCount: 5 } as const;
const layouts = [
  layoutNetwork(resnet({ ...resnetOptions, shortcut: 'projection' }), data),
  ...['mobilenet:stem=small', 'speedrun', 'mlp', 'wide-resnet:depth=10,width=1'].map((name) =>
    layoutNetwork(parseNetworkChoice(name, 'network').build!(), data),
  ),
  ...[8, 17].map((channels) => layoutNetwork(branchingNetwork(channels), small)),
  layoutNetwork(parseGraph(everyOperation, 'a graph with every operation'), { ...data, height: 9, width: 9 }),
];

test.each(layouts.map((layout) => [layout.graph.name, layout] as const))(
  'the kernels of %s fit the limits that every device has',
  (_name, layout) => {
    for (const mode of ['train', 'evaluate'] as const) {
      for (const { kernel, code } of programOf(layout, mode).dispatches) {
        expect(kernel.bindings.length).toBeLessThanOrEqual(8);
        expect(kernel.threads).toBeLessThanOrEqual(256);
        expect(workgroupBytes(code)).toBeLessThanOrEqual(16_384);
        // Drivers differ in these functions, and atomics have no fixed order.
        expect(code).not.toMatch(/\b(?:fma|exp|log|dot|atomic\w+)\(/);
      }
    }
  },
);

/** Returns the number of bytes that a kernel declares in workgroup memory. */
function workgroupBytes(code: string): number {
  const arrays = code.matchAll(/var<workgroup> \w+: array<(f32|vec4f), (\d+)>/g);
  return [...arrays].reduce((sum, [, type, length]) => sum + (type === 'f32' ? 4 : 16) * Number(length), 0);
}
