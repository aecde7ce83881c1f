// Times the dispatches of a program one by one.
import type { DeviceMemory } from './device-memory.js';
import type { Phase, Program } from '../operations/program.js';
import type { Gpu } from './gpu.js';
import { encode, type BoundDispatch, type ProgramRunner } from './submission.js';
import { bufferUsage, mapModeRead, queryResolveUsage } from './usage.js';

/** Time and work of one phase of a group of layers. */
export interface ProfileEntry {
  phase: Phase;
  group: string;
  ms: number;
  dispatches: number;
  /** Bytes that the dispatches bind. */
  bytes: number;
}

/** Runs a program once more and returns what each phase of each group of layers takes. Its inputs must be uploaded. */
export async function profileProgram(
  gpu: Gpu,
  memory: DeviceMemory,
  runner: ProgramRunner,
  program: Program,
  images: number,
): Promise<ProfileEntry[]> {
  const bound = runner.bind(program);
  const times = gpu.device.features.has('timestamp-query')
    ? await timestampsOf(gpu, bound, images)
    : await durationsOf(gpu, bound, images);
  const entries = new Map<string, ProfileEntry>();
  for (const [index, { phase, group, kernel }] of program.dispatches.entries()) {
    const key = `${phase} ${group}`;
    const entry = entries.get(key) ?? { phase, group, ms: 0, dispatches: 0, bytes: 0 };
    entry.ms += times[index];
    entry.dispatches++;
    for (const { resource } of kernel.bindings) entry.bytes += memory.bytesOf(resource, images);
    entries.set(key, entry);
  }
  return [...entries.values()];
}

/** Returns the milliseconds of each dispatch, from timestamps of the device. */
async function timestampsOf({ device }: Gpu, bound: readonly BoundDispatch[], images: number): Promise<number[]> {
  const count = 2 * bound.length;
  const querySet = device.createQuerySet({ type: 'timestamp', count });
  const resolved = device.createBuffer({ size: 8 * count, usage: queryResolveUsage | bufferUsage.copySource });
  const staging = device.createBuffer({ size: 8 * count, usage: bufferUsage.mapRead | bufferUsage.copyTarget });
  const encoder = device.createCommandEncoder();
  for (const [index, each] of bound.entries()) {
    const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * index, endOfPassWriteIndex: 2 * index + 1 };
    const pass = encoder.beginComputePass({ timestampWrites });
    encode(pass, each, images);
    pass.end();
  }
  encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8 * count);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(mapModeRead);
  const nanoseconds = new BigInt64Array(staging.getMappedRange().slice(0));
  for (const each of [staging, resolved, querySet]) each.destroy();
  return bound.map((_, index) => Number(nanoseconds[2 * index + 1] - nanoseconds[2 * index]) / 1e6);
}

/** Returns the milliseconds of each dispatch in a submission of its own, which includes the time to submit it. */
async function durationsOf({ device }: Gpu, bound: readonly BoundDispatch[], images: number): Promise<number[]> {
  const times: number[] = [];
  for (const each of bound) {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encode(pass, each, images);
    pass.end();
    const started = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    times.push(performance.now() - started);
  }
  return times;
}
