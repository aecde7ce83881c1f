// Sessions of a worker that computes.
import type { OpenLink } from './connection/coordinator-link.js';
import { RunWork, type RunEngines } from './run-work.js';
import { WorkerSession, type SessionHandlers, type WorkerIdentity } from './session.js';
import type { RunShards } from './shards/run-shards.js';

/** Opens a session that computes with these engines. */
export function openComputeSession(
  identity: Pick<WorkerIdentity, 'name' | 'token'>,
  openLink: OpenLink,
  engines: RunEngines,
  shards: RunShards,
  handlers: SessionHandlers,
): WorkerSession {
  const identify = async () => ({
    ...identity,
    engines: engines.devices.offers,
    cachedShards: await shards.list(),
  });
  return new WorkerSession(
    identify,
    openLink,
    ({ welcome, spec }, link, { onEngine, onProgress }, { fail }) =>
      new RunWork(welcome, spec, engines, shards, link, { onEngine, onProgress, onFailure: fail }),
    handlers,
  );
}
