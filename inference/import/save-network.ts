// Writes an imported network: the graph as JSON, and the weights as a safetensors file.
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LockstepError, systemCodeOf } from '../../shared/errors.js';
import type { NetworkGraph } from '../../shared/network/graph.js';
import { layoutNetwork } from '../../shared/network/layout.js';
import { encodeSafetensors, namedArraysOf } from '../../shared/network/safetensors.js';
import type { ImportedNetwork } from './import-network.js';

export interface SaveNetworkOptions {
  /** Name of the file for the graph: ends in `.json`. */
  out: string;
  /** Name of the file for the weights: ends in `.safetensors`. Omitted to write none. */
  weights?: string | undefined;
  /** Whether to replace existing files. */
  force?: boolean | undefined;
}

/**
 * Writes the graph, which the option `network` reads, and the weights, which `initialWeights` reads. Files get their final
 * names only once all of them are complete. Throws `bad-option` for a name with another extension, if a file exists
 * and `force` is not true, and if a file cannot be written.
 */
export async function saveNetwork(network: ImportedNetwork, options: SaveNetworkOptions): Promise<void> {
  const { out, weights, force = false } = options;
  const files: { field: string; name: string; contents: string | Uint8Array }[] = [
    { field: 'out', name: withExtension('out', out, '.json'), contents: graphAsJson(network.graph) },
  ];
  if (weights !== undefined) {
    const name = withExtension('weights', weights, '.safetensors');
    files.push({ field: 'weights', name, contents: weightsFile(network) });
  }
  for (const { field, name } of files) {
    if (force || (await stat(name).catch(() => undefined)) === undefined) continue;
    throw new LockstepError(
      'bad-option',
      `\`${field}\` is ${name}, which already exists: choose another name, or replace it with \`force\``,
    );
  }
  const partial: string[] = [];
  try {
    for (const { field, name, contents } of files) {
      await attempt(field, name, async () => {
        await mkdir(path.dirname(name), { recursive: true });
        partial.push(`${name}.partial`);
        await writeFile(`${name}.partial`, contents);
      });
    }
  } catch (error) {
    for (const name of partial) await rm(name, { force: true });
    throw error;
  }
  for (const { field, name } of files) await attempt(field, name, async () => rename(`${name}.partial`, name));
}

function withExtension(field: string, name: string, extension: string): string {
  if (path.extname(name) === extension) return name;
  throw new LockstepError('bad-option', `\`${field}\` is ${name}: the name must end in ${extension}`);
}

async function attempt(field: string, name: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (cause) {
    const code = systemCodeOf(cause);
    if (code === undefined) throw cause;
    throw new LockstepError('bad-option', `\`${field}\` ${name} cannot be written (${code}): choose another path`, {
      cause,
    });
  }
}

/** Returns a graph as JSON with one line per node, which people can read and edit. */
function graphAsJson({ name, channelOrder, nodes }: NetworkGraph): string {
  const lines = nodes.map((node) => `    ${JSON.stringify(node)}`);
  const head = `  "name": ${JSON.stringify(name)},\n  "channelOrder": ${JSON.stringify(channelOrder)}`;
  return `{\n${head},\n  "nodes": [\n${lines.join(',\n')}\n  ]\n}\n`;
}

function weightsFile({ graph, data, weights, movingStatistics, weightsSha256 }: ImportedNetwork): Uint8Array {
  const layout = layoutNetwork(graph, data);
  const arrays = [...namedArraysOf(weights, layout.weights), ...namedArraysOf(movingStatistics, layout.statistics)];
  return Buffer.concat(encodeSafetensors(arrays, { format: 'lockstep', model: graph.name, weightsSha256 }));
}
