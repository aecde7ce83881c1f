// A coordinator here, and workers in processes of their own, each behind a link with faults: what the tables of faults use.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { FaultyLink, type LinkMark } from '../../cli/machine/chaos/faulty-link.js';
import { startCoordinator, type Coordinator, type CoordinatorOptions } from '../../coordinator/main.js';
import type { Report } from '../../coordinator/run/report.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { startCli } from './cli.js';
import { smallRun } from './local-cluster.js';

const dataset = synthesizeDataset({ trainingImages: 400, testImages: 300 });

export interface FaultedWorker {
  link: FaultyLink;
  child: ChildProcess;
  /** Does something once, in the moment in which the link passes such a place. */
  onceAt(place: (mark: LinkMark) => boolean, action: (mark: LinkMark) => void): void;
}

export interface FaultedCluster {
  coordinator: Coordinator;
  /** `lockstep worker`, as a person starts it. */
  start(name: string): Promise<FaultedWorker>;
  /** See hungry-worker.mjs; with a heap of so many MiB. */
  startHungry(name: string, heapMiB: number): Promise<FaultedWorker>;
  /** See announcing-worker.mjs. */
  startAnnouncing(name: string, holdBehindStep?: number, saidSliceMs?: number): Promise<FaultedWorker>;
  /** The run's report; afterwards no process, socket or file is left. */
  finish(): Promise<Report>;
}

/** The small run of test/support/local-cluster.ts, with the wasm engine. */
export async function startFaulted(options: CoordinatorOptions = {}): Promise<FaultedCluster> {
  const folder = await mkdtemp(path.join(tmpdir(), 'lockstep-test-'));
  const coordinator = await startCoordinator({
    ...smallRun,
    port: 0,
    dataset,
    runDir: path.join(folder, 'run'),
    ...options,
  });
  const workers: FaultedWorker[] = [];
  async function behindLink(startProcess: (url: string) => ChildProcess): Promise<FaultedWorker> {
    const link = await FaultyLink.open(coordinator.port);
    const child = startProcess(link.url);
    const worker: FaultedWorker = {
      link,
      child,
      onceAt(place, action) {
        const onMark = (mark: LinkMark) => {
          if (!place(mark)) return;
          link.off('mark', onMark);
          action(mark);
        };
        link.on('mark', onMark);
      },
    };
    workers.push(worker);
    return worker;
  }
  return {
    coordinator,
    start: (name) =>
      behindLink((url) => startCli(['worker', url, '--engine', 'wasm', '--name', name, '--no-cache']).child),
    startHungry: (name, heapMiB) =>
      behindLink((url) =>
        fork(fileURLToPath(new URL('hungry-worker.mjs', import.meta.url)), [url, name], {
          execArgv: [`--max-old-space-size=${heapMiB}`],
          // V8 says more of its end than anybody wants to read here.
          stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
        }),
      ),
    startAnnouncing: (name, holdBehindStep = Infinity, saidSliceMs) =>
      behindLink((url) =>
        fork(fileURLToPath(new URL('announcing-worker.mjs', import.meta.url)), [
          url,
          name,
          String(holdBehindStep),
          ...(saidSliceMs === undefined ? [] : [String(saidSliceMs)]),
        ]),
      ),
    async finish() {
      try {
        return await coordinator.report;
      } finally {
        for (const { child, link } of workers) {
          const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
          child.kill('SIGKILL');
          await exited;
          await link.close();
        }
        await rm(folder, { recursive: true });
      }
    },
  };
}
