// A coordinator in this process, and worker processes that are each behind a link with faults.
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
  /** Calls `action` once, when a message reaches this point on the link. */
  onceAt(isPoint: (mark: LinkMark) => boolean, action: (mark: LinkMark) => void): void;
}

export interface FaultedCluster {
  coordinator: Coordinator;
  /** Starts `lockstep worker`. */
  start(name: string): Promise<FaultedWorker>;
  /** Starts hungry-worker.mjs, with a heap of this size. */
  startHungry(name: string, heapMiB: number): Promise<FaultedWorker>;
  /** Starts announcing-worker.mjs. */
  startAnnouncing(name: string, holdAfterStep?: number, reportedSliceMs?: number): Promise<FaultedWorker>;
  /** Waits for the run's report, and removes all processes, sockets and files. */
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
          // V8 prints a long report when it runs out of memory.
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
