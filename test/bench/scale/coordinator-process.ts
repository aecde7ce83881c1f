// The coordinator of the scale benchmark. Trains a ResNet-20 on a few arbitrary images per slice, and reports its costs.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setV8Flags } from '../../../cli/process/v8-flags.js';
import { startCoordinator, type Coordinator } from '../../../coordinator/main.js';
import { cifar10Description, cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import type { Dataset } from '../../../shared/dataset/description.js';
import { medianOf } from '../../../shared/median.js';
import { warmUpSteps, type CoordinatorResult, type ScaleCase } from './measure-run.js';

// As in the processes of the command line.
setV8Flags();

function datasetOf(images: number): Dataset {
  const { recordBytes, classCount } = cifar10Format;
  const training = new Uint8Array(images * recordBytes);
  for (let image = 0; image < images; image++) {
    training.fill(image % 251, image * recordBytes, (image + 1) * recordBytes);
    training[image * recordBytes] = image % classCount;
  }
  return { description: cifar10Description, training, validation: null, test: null, source: 'arbitrary images' };
}

interface Snapshot {
  timeMs: number;
  cpuMicroseconds: number;
  sent: number;
  received: number;
}

function snapshotOf(coordinator: Coordinator, cpuMicroseconds: number): Snapshot {
  const { bytesSent: sent, bytesReceived: received } = coordinator.status().run;
  return { timeMs: performance.now(), cpuMicroseconds, sent, received };
}

function cpuMicroseconds(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function measure(coordinator: Coordinator, startedMs: number): Promise<CoordinatorResult> {
  const { events, report, totalSteps } = coordinator;
  await once(events, 'step-started');
  const joinMs = performance.now() - startedMs;
  const times: number[] = [];
  const delays = monitorEventLoopDelay();
  delays.enable();
  let first: Snapshot | undefined;
  let last: Snapshot | undefined;
  events.on('step', ({ step }) => {
    if (step === totalSteps) last = snapshotOf(coordinator, cpuMicroseconds());
    // The snapshot's own costs are not part of the measured steps.
    if (step === warmUpSteps) first = { ...snapshotOf(coordinator, 0), cpuMicroseconds: cpuMicroseconds() };
    if (step >= warmUpSteps) times.push(performance.now());
  });
  const { workersLost, slicesReassigned, stragglers, weightsSha256 } = await report;
  const steps = totalSteps - warmUpSteps;
  const perStep = (key: keyof Snapshot) => (last![key] - first![key]) / steps;
  return {
    stepMs: medianOf(times.slice(1).map((time, index) => time - times[index])),
    cpuMs: perStep('cpuMicroseconds') / 1000,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    bytesSent: perStep('sent'),
    bytesReceived: perStep('received'),
    joinMs,
    blockedMs: delays.max / 1e6,
    stragglers,
    workersLost,
    slicesReassigned,
    weightsSha256,
  };
}

const { encoding, workers, slices, steps } = JSON.parse(process.argv[2]) as ScaleCase;
const folder = await mkdtemp(path.join(tmpdir(), 'lockstep-scale-'));
try {
  const totalSteps = warmUpSteps + steps;
  const coordinator = await startCoordinator({
    depth: 20,
    encoding,
    slices,
    batchSize: slices,
    steps: totalSteps,
    validationSplit: 0,
    seed: 1,
    // Simulated workers share threads, so one may be silent while others compute.
    heartbeatTimeout: 120,
    // Copies of shards are sent in the background, more of them the longer a step takes.
    replicas: 1,
    minWorkers: workers,
    dataset: datasetOf(slices * totalSteps),
    port: 0,
    runDir: path.join(folder, 'run'),
  });
  const result = measure(coordinator, performance.now());
  process.send!(coordinator.url);
  process.send!(await result);
} finally {
  await rm(folder, { recursive: true });
  process.disconnect();
}
