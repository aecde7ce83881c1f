// Workers behind a relay compute the bits of workers that are connected to the coordinator.
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { startRelay, type Relay, type RelayAddress, type RelayOptions } from '../../relay/main.js';
import type { WorkerOptions } from '../../worker/main.js';
import { hashWith, startCluster, type Cluster } from '../support/local-cluster.js';

interface StartedRelay extends RelayAddress {
  relay: Relay;
  join(options?: Partial<WorkerOptions>): ReturnType<Cluster['join']>;
}

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function cluster(...options: Parameters<typeof startCluster>): Promise<Cluster> {
  const started = await startCluster(...options);
  closing.push(() => started.close());
  return started;
}

/** Starts a relay for the coordinator, and waits until workers can join it. */
async function relayFor(of: Cluster, options: Partial<RelayOptions> = {}): Promise<StartedRelay> {
  const relay = await startRelay({ url: of.coordinator.url, port: 0, cache: null, ...options });
  closing.push(() => {
    relay.stop('the test has ended');
    return relay.done.catch(() => undefined);
  });
  const [address] = (await once(relay.events, 'listening')) as [RelayAddress];
  return { relay, ...address, join: (more = {}) => of.join({ url: address.url, ...more }) };
}

describe('the weights are those of a run without relays', () => {
  it('with two workers behind a relay', async () => {
    const expected = await hashWith(1);
    const run = await cluster({ minWorkers: 2 });
    const relay = await relayFor(run);
    await relay.join();
    await relay.join();
    const report = await run.coordinator.report;
    expect(report).toMatchObject({ weightsSha256: expected, workersJoined: 2, workersLost: 0, exact: true });
  });
});
