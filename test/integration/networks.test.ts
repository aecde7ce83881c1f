// Runs of networks other than a ResNet, by name and as a graph, with the fake engine.
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import { loadCheckpoint } from '../../coordinator/run/checkpoints/load-checkpoint.js';
import { initialWeights } from '../../coordinator/optimizer/initial-weights.js';
import { arrayOf } from '../../shared/network/layout.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { hashWith, startCluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
const notResnet = { depth: undefined, initialFilters: undefined, tensorboard: false };
/** A small network with an array of each kind. */
const graph = {
  name: 'small',
  nodes: [
    { name: 'conv', op: 'conv2d', inputs: ['input'], filters: 4, kernelSize: 3, strides: 2 },
    { name: 'bn', op: 'batchNorm', inputs: ['conv'] },
    { name: 'active', op: 'silu', inputs: ['bn'] },
    { name: 'drop', op: 'dropout', inputs: ['active'], rate: 0.5 },
    { name: 'pool', op: 'globalAveragePool', inputs: ['drop'] },
    { name: 'dense', op: 'dense', inputs: ['pool'], units: 'classes' },
  ],
} as unknown as Exclude<CoordinatorOptions['network'], string | undefined>;
const withRelu = {
  ...graph,
  nodes: graph.nodes.map((node) => (node.op === 'silu' ? ({ ...node, op: 'relu' } as const) : node)),
};

/** Trains until step `until` is complete. */
async function stoppedAt(until: number, options: CoordinatorOptions): Promise<void> {
  const cluster = await startCluster({ ...notResnet, ...options });
  cluster.coordinator.events.on('step', ({ step }) => {
    if (step === until) cluster.coordinator.stop();
  });
  await cluster.join();
  await expect(cluster.coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
  await cluster.close();
}

describe('a run of a graph', () => {
  it('has the same weights with one worker and with two, and is not the run of another graph', async () => {
    const one = await hashWith(1, { ...notResnet, network: graph });
    expect(await hashWith(2, { ...notResnet, network: graph })).toBe(one);
    // The fake engine does not know activations: the weights are equal, but the runs are not interchangeable.
    expect(await hashWith(1, { ...notResnet, network: withRelu })).toBe(one);
  });

  it('resumes without the graph, from its run directory, with the same bits', async () => {
    const options = { network: graph, runDir: inFolder('stopped') };
    await stoppedAt(5, options);
    const stored = JSON.parse(await readFile(inFolder('stopped', 'config.json'), 'utf8')) as { network: unknown };
    expect(stored.network).toMatchObject({ name: 'small', channelOrder: 'rgb', nodes: { length: 6 } });
    const resumed = await startCluster({ ...notResnet, runDir: inFolder('stopped'), resume: true });
    await resumed.join();
    const { weightsSha256 } = await resumed.coordinator.report;
    await resumed.close();
    expect(weightsSha256).toBe(await hashWith(1, { ...notResnet, network: graph }));
  });

  it('cannot be resumed with another graph of the same arrays, unless overridden', async () => {
    await stoppedAt(3, { network: graph, runDir: inFolder('other') });
    const resume = { ...notResnet, network: withRelu, runDir: inFolder('other'), resume: true } as const;
    await expect(startCluster(resume)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(
        /`network` was the graph small \(6 nodes, hash \w{8}\) and is the graph small \(6 nodes, hash \w{8}\)\. Omit/,
      ) as string,
    });
    const overridden = await startCluster({ ...resume, override: true });
    await overridden.join();
    expect(await overridden.coordinator.report).toMatchObject({ exact: false });
    await overridden.close();
  });

  it('cannot be resumed with another network, even if overridden', async () => {
    await stoppedAt(3, { network: graph, runDir: inFolder('arrays') });
    const resume = { ...notResnet, network: 'mlp:hidden=5', runDir: inFolder('arrays'), resume: true, override: true };
    await expect(startCluster(resume)).rejects.toMatchObject({
      code: 'bad-checkpoint',
      message: expect.stringContaining('belongs to a different model (changed: `network`)') as string,
    });
  });

  it('that does not fit the images is refused with the name of the node', async () => {
    const nodes = [{ ...graph.nodes[0], padding: 'valid', kernelSize: [33, 33] }, ...graph.nodes.slice(1)];
    await expect(startCluster({ ...notResnet, network: { ...graph, nodes } as typeof graph })).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('network node "conv": a window of 33×33 pixels does not fit') as string,
    });
  });
});

describe('frozen arrays', () => {
  it('keep their initial values, while the others change', async () => {
    const cluster = await startCluster({
      ...notResnet,
      network: graph,
      freeze: ['conv/*', 'bn/beta'],
      weightDecay: 0.1,
      lookAhead: 2,
      runDir: inFolder('frozen'),
    });
    await cluster.join();
    await cluster.coordinator.report;
    await cluster.close();
    const { layout, weights, config, optimizerState } = await loadCheckpoint(inFolder('frozen'));
    const initial = initialWeights(layout, config.seed);
    const unchanged = layout.weights.filter(
      (array) => arrayOf(weights, array).join() === arrayOf(initial, array).join(),
    );
    expect(unchanged.map(({ name }) => name)).toEqual(['conv/kernel', 'conv/bias', 'bn/beta']);
    for (const array of unchanged) expect(new Set(arrayOf(optimizerState['velocity'], array))).toEqual(new Set([0]));
  });

  it('are part of the recipe: a resumed run with other ones is refused', async () => {
    await stoppedAt(3, { network: graph, freeze: ['conv/*'], runDir: inFolder('freeze') });
    const resume = { ...notResnet, freeze: ['dense/*'], runDir: inFolder('freeze'), resume: true } as const;
    await expect(startCluster(resume)).rejects.toThrow('`freeze` was ["conv/*"] and is ["dense/*"]');
  });
});

describe('a network by name', () => {
  it('with measured and copied weights has the same weights with one worker and with two', async () => {
    const options = {
      ...notResnet,
      network: 'speedrun',
      preprocessing: 'standardize',
      steps: 2,
      batchSize: 8,
    } as const;
    const one = await hashWith(1, options);
    expect(await hashWith(2, options)).toBe(one);
  });
});

describe('a network that the engine of the only worker cannot compute', () => {
  it('ends the run with the reason', async () => {
    const cluster = await startCluster({ ...notResnet, network: graph });
    const problem = 'network node "active": the fake engine lacks silu';
    const worker = await cluster.join({ engine: fakeEngine({ networkProblem: problem }) });
    await expect(worker.done).rejects.toMatchObject({ code: 'bad-config', message: problem });
    await expect(cluster.coordinator.report).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining(problem) as string,
    });
    await cluster.close();
  });

  it('does not end the run if another worker can', async () => {
    const cluster = await startCluster({ ...notResnet, network: graph });
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    await cluster.join({ engine: fakeEngine({ beforeSlice: () => released }) });
    const worker = await cluster.join({ engine: fakeEngine({ networkProblem: 'no' }) });
    void worker.done.catch(release);
    await expect(worker.done).rejects.toMatchObject({ code: 'bad-config' });
    expect(await cluster.coordinator.report).toMatchObject({ steps: 14 });
    await cluster.close();
  });
});
