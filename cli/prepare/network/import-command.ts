// lockstep network import: writes the graph and the weights of a Keras or TensorFlow.js model.
import type { Command } from 'commander';
import { importNetwork, type ImportedNetwork } from '../../../inference/import/import-network.js';
import { saveNetwork } from '../../../inference/import/save-network.js';
import { resolveConfig } from '../../../shared/config/config.js';
import { formatCount } from '../../output/format.js';
import { printable, printLines } from '../../output/printer.js';

interface ImportOptionValues {
  /** True for the option without a file. */
  weights?: string | true;
  force?: true;
}

export function configureNetworkImport(command: Command): void {
  command
    .description(
      'Import a Keras 3 model (.keras) or a TensorFlow.js layers model (model.json): write its layers as JSON for --network, ' +
        'and its weights for --initial-weights.',
    )
    .argument('<MODEL>', '.keras file, or model.json with its weights beside it')
    .argument('<OUT.json>', 'file for the layers')
    .option('--weights [FILE]', 'write the weights too, as safetensors (default file: OUT.safetensors)')
    .option('--force', 'replace existing files')
    .action(async (model: string, out: string, { weights: given, force }: ImportOptionValues) => {
      const weights = given === true ? out.replace(/\.json$/, '.safetensors') : given;
      const network = await importNetwork(model);
      await saveNetwork(network, { out, weights, force });
      printLines(command, describeImport(network, { model, out, weights }).map(printable));
    });
}

interface ImportFiles {
  model: string;
  out: string;
  weights: string | undefined;
}

function describeImport(network: ImportedNetwork, { model, out, weights }: ImportFiles): string[] {
  const { graph, data, preprocessing, bnMomenta, augments } = network;
  const { height, width, channels, classCount } = data;
  const initial = weights === undefined ? '' : ` --initial-weights ${weights}`;
  const normalization = preprocessing === null ? '' : ` --preprocessing ${preprocessing}`;
  const last = graph.nodes.at(-1)!;
  const momenta = bnMomenta.filter((momentum) => momentum !== resolveConfig({}).bnMomentum);
  return [
    `${model} imported: ${graph.name}, ${formatCount(graph.nodes.length, 'node')}, ${formatCount(network.weights.length, 'parameter')}`,
    `images: ${height}×${width}, ${channels === 1 ? 'gray' : 'RGB'}; ${classCount} classes`,
    `layers: ${out}`,
    ...(weights === undefined ? [] : [`weights: ${weights} (SHA-256 ${network.weightsSha256})`]),
    ...(momenta.length === 0
      ? []
      : [`batch norm momentum in the model: ${momenta.join(', ')}; set it with --bn-momentum`]),
    ...(augments ? ['random augmentation in the model is left out; lockstep train augments images itself'] : []),
    ...(preprocessing === null
      ? ['how the model expects pixels to be scaled is not part of it: choose --preprocessing to match its training']
      : []),
    ...(last.op === 'dense'
      ? [`for a dataset with other classes, set units of the node ${last.name} to "classes" in ${out}`]
      : []),
    `train it with: lockstep train --network ${out}${initial}${normalization} --data FOLDER`,
  ];
}
