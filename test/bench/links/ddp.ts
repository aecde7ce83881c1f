// Measures PyTorch's DistributedDataParallel with a process at the end of each of the slow links.
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { resolveConfig } from '../../../shared/config/config.js';
import { graphOf } from '../../../shared/config/network-config.js';
import { startCommand } from '../../support/cli.js';
import { freePort } from '../../support/free-port.js';
import type { Hosts } from './hosts.js';
import type { Measurement } from './measurement.js';

const resultLine = z.object({
  peer: z.string(),
  imagesPerSecond: z.number(),
  steps: z.number(),
  sentPerStep: z.number(),
  receivedPerStep: z.number(),
});

/** @param hook communication hook: none, fp16 or powersgd */
export async function measureDdp(
  { pair }: Hosts,
  { hook, seconds }: { hook: string; seconds: number },
): Promise<Measurement> {
  // The benchmarks are compiled to dist/test/bench; the Python file stays in the source tree.
  const script = fileURLToPath(new URL('../../../../test/bench/peers/torch_network.py', import.meta.url));
  const python = process.env['LOCKSTEP_TORCH_PYTHON'] || 'python3';
  const isLoopback = pair[0].device === 'lo';
  const port = await freePort();
  const options = ['--processes', '2', '--hook', hook, '--seconds', String(seconds)];
  const environment = { NETWORK: JSON.stringify(graphOf(resolveConfig({}))), OMP_NUM_THREADS: '1' };
  const started = pair.map(({ prefix, device }, rank) => {
    const meeting = ['--rank', String(rank), '--address', `${pair[0].address}:${port}`, '--device', device];
    return startCommand([...prefix, python, script, ...options, ...meeting], environment);
  });
  try {
    for (const process_ of started) {
      const status = await process_.exited;
      if (status !== 0) throw new Error(`${hook}: torch_network.py ended with status ${status}:\n${process_.output()}`);
    }
    const line = started[0].output().trimEnd().split('\n').at(-1)!;
    const { imagesPerSecond, steps, sentPerStep, receivedPerStep } = resultLine.parse(JSON.parse(line));
    return {
      imagesPerSecond,
      steps,
      sentPerStep: isLoopback ? null : sentPerStep,
      receivedPerStep: isLoopback ? null : receivedPerStep,
    };
  } finally {
    for (const { child } of started) child.kill('SIGKILL');
    await Promise.all(started.map(({ exited }) => exited));
  }
}
