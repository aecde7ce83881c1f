// Flattens a Keras model, Sequential or Functional, with the models inside it, to a list of calls of layers.
import { z } from 'zod';
import type { Shape } from '../../shared/network/layers.js';
import { badModel, maxLayers, type LayerPlace } from './model-file.js';

/** One use of a layer. */
export interface LayerCall extends LayerPlace {
  className: string;
  config: Readonly<Record<string, unknown>>;
  /** Calls whose outputs this one takes: indices into the list of calls, or `images`. */
  inputs: readonly number[];
  /** 0 for the first use of the layer, 1 for the second, … */
  use: number;
}

export interface KerasModel {
  name: string;
  /** [height, width, channels] */
  imageShape: Shape;
  calls: LayerCall[];
}

/** Stands for the images, among the indices of calls. */
export const images = -1;

/** Maximum depth of models inside models, and of lists in the configuration. */
const maxDepth = 16;

const record = z.record(z.string(), z.unknown());
const layerSchema = z.object({
  class_name: z.string().min(1).max(200),
  config: z.union([record, z.array(z.unknown())]),
  name: z.string().max(200).optional(),
  inbound_nodes: z.array(z.unknown()).max(maxLayers).optional(),
});
type KerasLayer = z.output<typeof layerSchema>;
const layersSchema = z.array(layerSchema).min(1).max(maxLayers);

const modelClasses = new Set(['Sequential', 'Functional', 'Model']);

/** Throws `bad-data` if the configuration is not that of a model with one input and one output. */
export function flattenModel(config: unknown, location: string): KerasModel {
  const parsed = layerSchema.safeParse(config);
  if (!parsed.success) throw badModel(location, 'its configuration is not that of a Keras model');
  if (!modelClasses.has(parsed.data.class_name)) {
    throw badModel(location, `it is a ${parsed.data.class_name}: only Sequential and Functional models are supported`);
  }
  const flattener = new Flattener(location);
  const output = flattener.model(parsed.data, { name: '', group: '' }, images);
  if (output === images) throw badModel(location, 'it has no layers');
  if (output !== flattener.calls.length - 1) throw badModel(location, 'it has layers after its output');
  return {
    name: nameOf(parsed.data),
    imageShape: imageShapeOf(parsed.data, location),
    calls: flattener.calls,
  };
}

class Flattener {
  readonly calls: LayerCall[] = [];
  readonly #location: string;
  #depth = 0;

  constructor(location: string) {
    this.#location = location;
  }

  /** Adds the layers of a model, applied to `input`, and returns its output. */
  model(model: KerasLayer, place: LayerPlace, input: number): number {
    if (++this.#depth > maxDepth) throw this.#bad(`it has more than ${maxDepth} models inside each other`);
    const layers = this.#layersOf(model);
    const places = placesOf(layers, place);
    const output =
      model.class_name === 'Sequential'
        ? layers.reduce((value, layer, index) => this.#apply(layer, places[index], [value], 0), input)
        : this.#functional(model, layers, places, input);
    this.#depth--;
    return output;
  }

  #layersOf(model: KerasLayer): KerasLayer[] {
    const layers = Array.isArray(model.config) ? model.config : model.config.layers;
    const parsed = layersSchema.safeParse(layers);
    if (parsed.success) return parsed.data;
    throw this.#bad(`the layers of the model "${nameOf(model)}" are not a list of configurations of Keras layers`);
  }

  #apply(layer: KerasLayer, place: LayerPlace, inputs: readonly number[], use: number): number {
    if (layer.class_name === 'InputLayer') return inputs[0];
    if (modelClasses.has(layer.class_name)) {
      if (use > 0 || inputs.length !== 1) {
        throw this.#bad(
          `the model "${place.name}" inside it is used ${use + 1} times with ${inputs.length} inputs, not once`,
        );
      }
      return this.model(layer, place, inputs[0]);
    }
    if (this.calls.length >= maxLayers) throw this.#bad(`it has more than ${maxLayers} layers`);
    const config = Array.isArray(layer.config) ? {} : layer.config;
    return this.calls.push({ ...place, className: layer.class_name, config, inputs, use }) - 1;
  }

  #functional(model: KerasLayer, layers: readonly KerasLayer[], places: readonly LayerPlace[], input: number): number {
    const { input_layers: inputLayers, output_layers: outputLayers } = model.config as Record<string, unknown>;
    const [starts, ends] = [tensorsIn(inputLayers), tensorsIn(outputLayers)];
    if (starts.length !== 1 || ends.length !== 1) {
      throw this.#bad(
        `the model "${nameOf(model)}" has ${starts.length} inputs and ${ends.length} outputs: only models with one of each ` +
          'are supported',
      );
    }
    const values = new Map<string, number>();
    for (const { key, index, use, inputs } of this.#inOrder(this.#callsOf(layers))) {
      const isInput = layers[index].class_name === 'InputLayer';
      const given = isInput ? [input] : inputs.map((tensor) => values.get(tensor)!);
      values.set(key, this.#apply(layers[index], places[index], given, use));
    }
    const output = values.get(ends[0]);
    if (output === undefined) throw this.#bad(`the output of the model "${nameOf(model)}" does not exist`);
    return output;
  }

  #callsOf(layers: readonly KerasLayer[]): Map<string, FunctionalCall> {
    const calls = new Map<string, FunctionalCall>();
    for (const [index, layer] of layers.entries()) {
      const isInput = layer.class_name === 'InputLayer';
      const nodes = isInput ? [[]] : (layer.inbound_nodes ?? []);
      for (const [use, node] of nodes.entries()) {
        const key = JSON.stringify([nameOf(layer), use, 0]);
        const inputs = tensorsIn(node);
        if (calls.has(key)) throw this.#bad(`two layers have the name "${nameOf(layer)}"`);
        if (inputs.length === 0 && !isInput) throw this.#bad(`layer "${nameOf(layer)}" has no inputs`);
        const { kwargs } = record.safeParse(node).data ?? {};
        if (tensorsIn(kwargs).length > 0) {
          throw this.#bad(`layer "${nameOf(layer)}" takes inputs as keyword arguments, which is not supported`);
        }
        calls.set(key, { key, index, use, inputs });
      }
    }
    return calls;
  }

  /** Returns the calls in an order in which each comes after its inputs, otherwise in the order of the file. */
  #inOrder(calls: ReadonlyMap<string, FunctionalCall>): FunctionalCall[] {
    const order: FunctionalCall[] = [];
    const done = new Set<string>();
    const waiting = new Set<string>();
    // An explicit stack, because a chain of layers may be too long for recursion.
    const stack = [...calls.keys()].toReversed();
    while (stack.length > 0) {
      const key = stack.at(-1)!;
      const call = calls.get(key);
      if (call === undefined) throw this.#bad(`a layer has the input ${key}, but there is no such layer and output`);
      const missing = done.has(key) ? [] : call.inputs.filter((tensor) => !done.has(tensor));
      if (missing.length > 0) {
        if (waiting.has(key)) throw this.#bad(`${key} depends on its own output`);
        waiting.add(key);
        stack.push(...missing.toReversed());
        continue;
      }
      stack.pop();
      if (!done.has(key)) order.push(call);
      done.add(key);
    }
    return order;
  }

  #bad(problem: string) {
    return badModel(this.#location, problem);
  }
}

/** A use of a layer in a functional model. Tensors are identified by their reference in JSON. */
interface FunctionalCall {
  /** The output. */
  key: string;
  /** Index of the layer. */
  index: number;
  use: number;
  inputs: readonly string[];
}

const reference = z.tuple([z.string(), z.int().min(0), z.int().min(0)]).rest(z.unknown());

/**
 * Returns the references to tensors in the arguments of a layer, each as JSON: layer, number of the call, number of the
 * output. Keras 3 wraps a reference in an object, Keras 2 does not.
 */
function tensorsIn(value: unknown, depth = 0): string[] {
  if (typeof value !== 'object' || value === null || depth > maxDepth) return [];
  const { data } = reference.safeParse(value);
  if (data !== undefined) return [JSON.stringify(data.slice(0, 3))];
  if (Array.isArray(value)) return value.flatMap((item) => tensorsIn(item, depth + 1));
  const { class_name: className, config, args } = value as Record<string, unknown>;
  if (className === '__keras_tensor__') return tensorsIn(record.safeParse(config).data?.keras_history, depth + 1);
  return tensorsIn(args, depth + 1);
}

function nameOf({ config, name }: KerasLayer): string {
  const own = Array.isArray(config) ? undefined : config.name;
  return name ?? (typeof own === 'string' ? own.slice(0, 200) : '');
}

/**
 * Returns where the layers of a model are. Groups of the HDF5 file have the class of a layer as their name, and from the
 * second layer of a class on also a number.
 */
function placesOf(layers: readonly KerasLayer[], model: LayerPlace): LayerPlace[] {
  const counts = new Map<string, number>();
  return layers.map((layer) => {
    const name = nameOf(layer);
    const group = snakeCase(layer.class_name);
    const count = counts.get(group) ?? 0;
    counts.set(group, count + 1);
    return {
      name: model.name === '' ? name : `${model.name}/${name}`,
      group: `${model.group === '' ? '' : `${model.group}/`}layers/${group}${count === 0 ? '' : `_${count}`}`,
    };
  });
}

/** The conversion by Keras: `Conv2D` becomes `conv2d`, and `ReLU` becomes `re_lu`. */
function snakeCase(className: string): string {
  return className
    .replaceAll(/\W+/g, '')
    .replaceAll(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replaceAll(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
}

const extent = z.int().min(1).max(65_536);
const batchShape = z.tuple([z.unknown(), extent, extent, extent]);

/** Returns the shape that the input layer, the first layer or the model states. */
function imageShapeOf(model: KerasLayer, location: string): Shape {
  const config: Record<string, unknown> = Array.isArray(model.config) ? { layers: model.config } : model.config;
  const layers = layersSchema.parse(config.layers);
  const first = layers.find(({ class_name: className }) => className === 'InputLayer') ?? layers[0];
  if (modelClasses.has(first.class_name)) return imageShapeOf(first, location);
  const { batch_shape: shape, batch_input_shape: shapeOfKeras2 } = record.safeParse(first.config).data ?? {};
  const stated = shape ?? shapeOfKeras2 ?? config.build_input_shape;
  const { data } = batchShape.safeParse(stated);
  if (data !== undefined && (data[3] === 1 || data[3] === 3)) return data.slice(1) as number[];
  throw badModel(
    location,
    `its input has the shape ${stated === undefined ? 'unknown' : JSON.stringify(stated).slice(0, 80)}: it must be [null, height, width, channels], with ` +
      '1 or 3 channels. Set it in Keras with keras.Input((height, width, channels))',
  );
}
