// Builds the graph of a Keras model, after checking that every layer is supported.
import type { z } from 'zod';
import { inputName, type NetworkGraph } from '../../shared/network/graph.js';
import { parseGraph } from '../../shared/network/graph-schema.js';
import { GraphImporter } from './graph-importer.js';
import { images, type KerasModel, type LayerCall } from './keras-model.js';
import type { LayerClass } from './layer-class.js';
import { layerClasses } from './layer-classes.js';
import { badModel, type VariableReader } from './model-file.js';
import { activationName } from './settings.js';

export interface BuiltGraph extends Pick<GraphImporter, 'variables' | 'momenta' | 'scalesInput' | 'augments'> {
  graph: NetworkGraph;
  /** Number of outputs. */
  classCount: number;
}

/**
 * Throws `bad-data` if layers are not supported, listing all of them, and `bad-config` if layers do not fit together.
 */
export function buildGraph(model: KerasModel, reader: VariableReader, location: string): BuiltGraph {
  const calls = withoutSoftmax(model.calls);
  const steps = parseCalls(calls, location);
  const importer = new GraphImporter(model.imageShape, reader);
  const outputs: string[] = [];
  for (const [index, { layerClass, config }] of steps.entries()) {
    const { name, group, inputs } = calls[index];
    const placed = { name, group, inputs: inputs.map((input) => (input === images ? inputName : outputs[input])) };
    outputs.push(layerClass.build(importer, placed, config));
  }
  const name = model.name.replaceAll(/[^\x21-\x7e]/g, '_').slice(0, 200) || 'network';
  const graph = parseGraph({ name, channelOrder: 'rgb', nodes: importer.nodes }, location);
  const { shape } = importer.lastLayer;
  if (shape.length !== 1) {
    throw badModel(
      location,
      `its output has the shape [${shape.join(', ')}]: it must have one value per class, [classes]. Build it with its ` +
        'classifier (include_top=True), or end it with GlobalAveragePooling2D and Dense',
    );
  }
  const { variables, momenta, scalesInput, augments } = importer;
  return { graph, classCount: shape[0], variables, momenta, scalesInput, augments };
}

/** Removes the softmax at the end: the last node of a graph computes the logits. */
function withoutSoftmax(calls: readonly LayerCall[]): readonly LayerCall[] {
  const last = calls.at(-1)!;
  if (activationName(last.config.activation) !== 'softmax' && last.className !== 'Softmax') return calls;
  const others = calls.slice(0, -1);
  const isLayer = last.className === 'Softmax' || last.className === 'Activation';
  return isLayer ? others : [...others, { ...last, config: { ...last.config, activation: 'linear' } }];
}

interface Step {
  layerClass: LayerClass;
  config: never;
}

function parseCalls(calls: readonly LayerCall[], location: string): Step[] {
  const steps: Step[] = [];
  const problems: string[] = [];
  for (const [index, call] of calls.entries()) {
    const layerClass = layerClasses.get(call.className);
    const parsed = layerClass?.schema.safeParse(call.config);
    const problem = problemOf(call, layerClass, parsed?.error);
    if (problem === undefined) steps.push({ layerClass: layerClass!, config: parsed!.data as never });
    else problems.push(`  layer ${index + 1}, "${call.name}": ${problem}`);
  }
  if (problems.length === 0) return steps;
  const shown = problems.slice(0, maxProblems);
  if (problems.length > maxProblems) shown.push(`  and ${problems.length - maxProblems} more`);
  throw badModel(
    location,
    `these layers are not supported:\n${shown.join('\n')}\nSupported classes: ${[...layerClasses.keys()].join(', ')}`,
  );
}

/** Maximum number of unsupported layers that an error lists. */
const maxProblems = 50;

function problemOf(call: LayerCall, layerClass: LayerClass | undefined, error: z.ZodError | undefined) {
  const { className, config, inputs, use } = call;
  if (layerClass === undefined) return `the class ${className}`;
  if (error !== undefined) {
    const { path, message } = error.issues[0];
    const [setting] = path;
    const given = typeof setting === 'string' ? config[setting] : undefined;
    const value = given === undefined ? 'missing' : JSON.stringify(given).slice(0, 80);
    return `the class ${className}, whose ${String(setting)} is ${value}: it must be ${message}`;
  }
  const [minimum, maximum] = layerClass.takesSeveral ? [2, Infinity] : [1, 1];
  if (inputs.length < minimum || inputs.length > maximum) {
    const needed = minimum === 1 ? 'one' : 'at least two';
    return `the class ${className} with ${inputs.length} inputs: it must have ${needed}`;
  }
  if (use > 0 && layerClass.hasWeights) return `the class ${className}, used more than once: weights cannot be shared`;
  return undefined;
}
