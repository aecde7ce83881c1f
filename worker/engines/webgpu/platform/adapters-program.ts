// Program that lists the adapters that Dawn finds, in a process of its own, because a driver may crash the process that loads
// it. It sends its answer over the IPC channel.
import { LockstepError, messageOf } from '../../../../shared/errors.js';
import { isNotInstalled, loadDawn } from './dawn.js';
import { isSoftware } from './gpu-platform.js';
import type { AdapterFacts, AdapterList } from './list-adapters.js';

async function list(): Promise<AdapterList> {
  let dawn;
  try {
    dawn = await loadDawn();
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    return { problem: error.message, package: isNotInstalled(error.cause) ? 'missing' : 'broken' };
  }
  const { create } = dawn;
  // Dawn names its adapters only to those who ask for one that does not exist.
  const message = await create(['adapter=\u0001'])
    .requestAdapter()
    .then(() => '', messageOf);
  const names = [...message.matchAll(/^ \* backend: '(.+?)', name: '(.*)'$/gm)].map(([, , name]) => name);
  const adapters: AdapterFacts[] = [];
  for (const name of names) {
    const gpu = create([`adapter=${name}`]);
    const adapter = await gpu.requestAdapter();
    if (adapter !== null) adapters.push(factsOf(name, adapter));
  }
  return { adapters };
}

function factsOf(name: string, adapter: GPUAdapter): AdapterFacts {
  const { vendor, architecture, description } = adapter.info;
  const {
    maxBufferSize,
    maxStorageBufferBindingSize,
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupStorageSize,
  } = adapter.limits;
  return {
    name,
    vendor,
    architecture,
    description,
    isSoftware: isSoftware(adapter),
    features: [...adapter.features].toSorted(),
    limits: {
      maxBufferSize,
      maxStorageBufferBindingSize,
      maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupStorageSize,
    },
  };
}

process.send!(await list(), () => process.disconnect());
