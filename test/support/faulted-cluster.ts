// A coordinator in this process, and worker processes that each connect through a link that injects faults.
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
  /** Calls `action` once, at the first mark on the link for which `isPoint` returns true. */
  onceAt(isPoint: (mark: LinkMark) => boolean, action: (mark: LinkMark) => void): void;
}

export interface FaultedCluster {
  coordinator: Coordinator;
  /** Starts `lockstep worker` behind a link. */
  start(name: string): Promise<FaultedWorker>;
  /** Starts hungry-worker.mjs with the given heap size. */
  startHungry(name: string, heapMiB: number): Promise<FaultedWorker>;
  /** Starts announcing-worker.mjs. */
  startAnnouncing(name: string, holdAfterStep?: number, reportedSliceMs?: number): Promise<FaultedWorker>;
  /** Waits for the run's report, then kills the workers, closes the links and removes the files. */
  finish(): Promise<Report>;
}

/** Starts `smallRun` from local-cluster.ts with workers that use the wasm engine. */
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
      onceAt(isPoint, action) {
        const onMark = (mark: LinkMark) => {
          if (!isPoint(mark)) return;
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
          // Hides the long report that V8 prints when it runs out of memory.
          stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
        }),
      ),
    startAnnouncing: (name, holdAfterStep = Infinity, reportedSliceMs) =>
      behindLink((url) =>
        fork(fileURLToPath(new URL('announcing-worker.mjs', import.meta.url)), [
          url,
          name,
          String(holdAfterStep),
          ...(reportedSliceMs === undefined ? [] : [String(reportedSliceMs)]),
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
