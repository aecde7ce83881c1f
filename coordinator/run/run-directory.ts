// A run's folder: the resolved configuration, a line of metrics per step, the checkpoints and the final report.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../../shared/config/config.js';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { listCheckpoints, removeLeftovers, returnTo } from './checkpoint.js';
import { truncateMetricsAt } from './truncate-metrics.js';
import { JsonLinesFile } from './json-lines-file.js';
import type { Checkpoint } from './load-checkpoint.js';
import type { MetricsLine } from './metrics-lines.js';
import type { Report } from './report.js';
import { runOf, runsDirectory } from './resume.js';

const metricsFile = 'metrics.jsonl';
const reportFile = 'report.json';

/** `runs/2026-11-23T10-20-30`, in local time, as people look for it. */
export function defaultRunDirectory(now: Date): string {
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  return path.join(runsDirectory, local.toISOString().slice(0, 19).replaceAll(':', '-'));
}

export class RunDirectory {
  readonly directory: string;
  readonly checkpoints: string;
  /** Told when lines of metrics cannot be written; they are tried again with the next one. */
  onTrouble: (reason: string) => void = () => undefined;
  #metrics: JsonLinesFile | undefined;

  /** Nothing is made or changed before `open`. */
  constructor(directory: string) {
    this.directory = directory;
    this.checkpoints = path.join(directory, 'checkpoints');
  }

  /**
   * Makes the folder, or takes a run up again where a checkpoint of it is: what is behind that is cut from the metrics,
   * and later checkpoints are set aside. From a checkpoint of another run, a new folder begins with that run's metrics.
   * Throws `bad-option` where it holds another run: two runs in one folder would be neither.
   */
  async open(config: Config, from?: Checkpoint): Promise<void> {
    const source = from === undefined ? undefined : runOf(from.path);
    const isContinued = this.#isContinued(from);
    await this.assertFree(from);
    try {
      await mkdir(this.checkpoints, { recursive: true });
      await removeLeftovers(this.checkpoints);
      const metrics = from === undefined || source === undefined ? '' : await metricsUpTo(from, source);
      await this.#writeWhole(metricsFile, metrics);
      this.#metrics = new JsonLinesFile(this.#pathOf(metricsFile), Buffer.byteLength(metrics), (error) =>
        this.onTrouble(messageOf(error)),
      );
      await this.#writeWhole('config.json', jsonOf(config));
      await rm(this.#pathOf(reportFile), { force: true });
      if (from !== undefined && isContinued) await returnTo(this.checkpoints, from);
    } catch (cause) {
      throw this.#cannotBeMade(cause);
    }
  }

  #isContinued(from: Checkpoint | undefined): boolean {
    const source = from && runOf(from.path);
    return source !== undefined && path.resolve(source) === path.resolve(this.directory);
  }

  /** Throws `bad-option` where the folder holds another run than the one that is gone on with. Changes nothing. */
  async assertFree(from?: Checkpoint): Promise<void> {
    if (this.#isContinued(from)) return;
    const taken = await listCheckpoints(this.checkpoints).catch((cause: unknown) => {
      throw this.#cannotBeMade(cause);
    });
    if (taken.length === 0) return;
    throw new LockstepError(
      'bad-option',
      `--run-dir ${this.directory} holds a run already: name another folder, or go on with --resume`,
    );
  }

  #cannotBeMade(cause: unknown): LockstepError {
    if (cause instanceof LockstepError) return cause;
    return new LockstepError(
      'bad-option',
      `--run-dir ${this.directory} cannot be made (${systemCodeOf(cause) ?? String(cause)}): name a folder that can be written`,
      { cause },
    );
  }

  /** Adds a line to metrics.jsonl. */
  log(line: MetricsLine): void {
    this.#metrics?.add(JSON.stringify(line));
  }

  /** metrics.jsonl, and how long it is with all lines so far once they are written. */
  get metricsUntilNow(): { file: string; bytes: number } {
    return { file: this.#pathOf(metricsFile), bytes: this.#metrics?.bytes ?? 0 };
  }

  /** Resolves when the lines so far are in the file, as far as they can be. */
  async flush(): Promise<void> {
    await this.#metrics?.flush();
  }

  /** Throws `save-failed`. */
  async writeReport(report: Report): Promise<void> {
    try {
      await this.#writeWhole(reportFile, jsonOf(report));
    } catch (cause) {
      throw saveFailed(this.#pathOf(reportFile), cause);
    }
  }

  /** Waits for the last line. Throws `save-failed` where lines could not be written. */
  async close(): Promise<void> {
    try {
      await this.#metrics?.close();
    } catch (cause) {
      throw saveFailed(this.#pathOf(metricsFile), cause);
    }
  }

  #pathOf(name: string): string {
    return path.join(this.directory, name);
  }

  async #writeWhole(name: string, text: string): Promise<void> {
    const file = this.#pathOf(name);
    await writeFile(`${file}.partial`, text);
    await rename(`${file}.partial`, file);
  }
}

function saveFailed(file: string, cause: unknown): LockstepError {
  return new LockstepError('save-failed', `${file} could not be written whole: ${messageOf(cause)}`, { cause });
}

function jsonOf(content: object): string {
  return `${JSON.stringify(content, null, 2)}\n`;
}

async function metricsUpTo({ step, progress }: Checkpoint, run: string): Promise<string> {
  const text = await readFile(path.join(run, metricsFile), 'utf8').catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return '';
    throw error;
  });
  return truncateMetricsAt(text, { step, isValidated: progress.validation?.step === step });
}
