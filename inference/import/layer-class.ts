// What the import knows about a class of Keras layers.
import type { z } from 'zod';
import type { GraphImporter } from './graph-importer.js';
import type { LayerPlace } from './model-file.js';
import type { Activation } from './settings.js';

/** A use of a layer, with the names of the nodes that it takes as inputs. */
export interface PlacedLayer extends LayerPlace {
  inputs: readonly string[];
}

interface Definition<Schema extends z.ZodType> {
  /** Settings that the import supports. */
  schema: Schema;
  /** Whether the layer takes two or more inputs instead of one. */
  takesSeveral?: true;
  /** Whether the layer has trained variables, which several uses would share. */
  hasWeights?: true;
  /** Adds the nodes of the layer, and returns the name of the last. */
  build: (graph: GraphImporter, layer: PlacedLayer, config: z.output<Schema>) => string;
}

export interface LayerClass extends Pick<Definition<z.ZodType>, 'schema' | 'takesSeveral' | 'hasWeights'> {
  /** @param config settings as parsed by the schema */
  build: (graph: GraphImporter, layer: PlacedLayer, config: never) => string;
}

export function layerClass<Schema extends z.ZodType>(definition: Definition<Schema>): LayerClass {
  return definition;
}

/** Adds an activation to the output of a layer. */
export function activate(
  graph: GraphImporter,
  layer: LayerPlace,
  output: string,
  activation: Activation | null,
): string {
  return activation === null
    ? output
    : graph.addNode(`${layer.name}/${activation}`, { op: activation, inputs: [output] });
}
