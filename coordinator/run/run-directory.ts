// A run directory: the resolved configuration, metrics.jsonl, the checkpoints, the report, and the test by class.
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../../shared/config/config.js';
import { ifMissing, LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { listCheckpoints, removeLeftovers, returnTo } from './checkpoints/checkpoint.js';
import { formatOutcome, type Outcome } from './evaluation-report.js';
import { JsonLinesFile } from './json-lines-file.js';
import type { Checkpoint } from './checkpoints/load-checkpoint.js';
import type { MetricsLine } from './metrics-lines.js';
import type { Report } from './report.js';
import { isInRun, runOf, runsDirectory } from './resume.js';
import { truncateMetricsAt } from './truncate-metrics.js';

const metricsFile = 'metrics.jsonl';
const configFile = 'config.json';
const reportFile = 'report.json';
const testFile = 'test.json';

/**
 * Returns a run directory named after the local time, for example `runs/2026-11-23T10-20-30`. If it exists, because
 * another run started in the same second, a number is appended: `runs/2026-11-23T10-20-30-2`.
 */
export function defaultRunDirectory(now: Date, parent = runsDirectory): string {
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  const directory = path.join(parent, local.toISOString().slice(0, 19).replaceAll(':', '-'));
  if (!existsSync(directory)) return directory;
  let number = 2;
  while (existsSync(`${directory}-${number}`)) number++;
  return `${directory}-${number}`;
}

export class RunDirectory {
  readonly directory: string;
  readonly checkpoints: string;
  /** Called when lines of metrics.jsonl cannot be written. They are kept, and written with the next line. */
  onWriteError: (reason: string) => void = () => undefined;
  #metrics: JsonLinesFile | undefined;

  /** Creates and changes no files until open() is called. */
  constructor(directory: string) {
    this.directory = directory;
    this.checkpoints = path.join(directory, 'checkpoints');
  }

  /**
   * Creates the directory. For a resumed run, metrics.jsonl starts with the metrics of the checkpoint's run up to the
   * checkpoint. If the directory contains that checkpoint, its run continues, and later checkpoints are renamed.
   * Throws `bad-option` if the directory contains another run or cannot be created.
   */
  async open(config: Config, resumed?: Checkpoint): Promise<void> {
    await this.assertFree(resumed);
    try {
      await mkdir(this.checkpoints, { recursive: true });
      await removeLeftovers(this.checkpoints);
      const metrics = resumed === undefined ? '' : await metricsUpTo(resumed);
      await this.#replaceFile(metricsFile, metrics);
      this.#metrics = new JsonLinesFile(this.#pathOf(metricsFile), Buffer.byteLength(metrics), (error) =>
        this.onWriteError(messageOf(error)),
      );
      await this.#replaceFile(configFile, jsonOf(config));
      for (const name of [reportFile, testFile]) await rm(this.#pathOf(name), { force: true });
      if (resumed !== undefined && this.#holds(resumed)) await returnTo(this.checkpoints, resumed);
    } catch (cause) {
      throw this.#cannotCreate(cause);
    }
  }

  #holds(checkpoint: Checkpoint): boolean {
    return isInRun(checkpoint.path, this.directory);
  }

  /** Throws `bad-option` if the directory contains a run other than the resumed one. Changes nothing. */
  async assertFree(resumed?: Checkpoint): Promise<void> {
    if (resumed !== undefined && this.#holds(resumed)) return;
    const existing = await listCheckpoints(this.checkpoints).catch((cause: unknown) => {
      throw this.#cannotCreate(cause);
    });
    if (existing.length === 0) return;
    throw new LockstepError(
      'bad-option',
      `\`runDir\` ${this.directory} already holds a run: specify another directory, or continue that run with \`resume\``,
    );
  }

  #cannotCreate(cause: unknown): LockstepError {
    if (cause instanceof LockstepError) return cause;
    return new LockstepError(
      'bad-option',
      `cannot create \`runDir\` ${this.directory} (${systemCodeOf(cause) ?? String(cause)}): specify a writable directory`,
      { cause },
    );
  }

  /** Appends a line to metrics.jsonl. */
  log(line: MetricsLine): void {
    this.#metrics?.add(JSON.stringify(line));
  }

  /** Path of metrics.jsonl, and its length in bytes once all lines so far have been written. */
  get metrics(): { file: string; bytes: number } {
    return { file: this.#pathOf(metricsFile), bytes: this.#metrics?.bytes ?? 0 };
  }

  /** Resolves when the lines so far have been written, or when writing them has failed. */
  async flush(): Promise<void> {
    await this.#metrics?.flush();
  }

  /** Replaces config.json. Throws `save-failed`. */
  async writeConfig(config: Config): Promise<void> {
    await this.#orSaveFailed(configFile, this.#replaceFile(configFile, jsonOf(config)));
  }

  /** Writes report.json. Throws `save-failed`. */
  async writeReport(report: Report): Promise<void> {
    await this.#orSaveFailed(reportFile, this.#replaceFile(reportFile, jsonOf(report)));
  }

  /** Writes test.json. Throws `save-failed`. */
  async writeTest(outcome: Outcome): Promise<void> {
    await this.#orSaveFailed(testFile, this.#replaceFile(testFile, `${formatOutcome(outcome)}\n`));
  }

  /** Closes metrics.jsonl after the last line has been written. Throws `save-failed` if lines could not be written. */
  async close(): Promise<void> {
    await this.#orSaveFailed(metricsFile, this.#metrics?.close());
  }

  async #orSaveFailed(name: string, writing: Promise<void> | undefined): Promise<void> {
    try {
      await writing;
    } catch (cause) {
      throw new LockstepError('save-failed', `cannot write ${this.#pathOf(name)}: ${messageOf(cause)}`, { cause });
    }
  }

  #pathOf(name: string): string {
    return path.join(this.directory, name);
  }

  async #replaceFile(name: string, text: string): Promise<void> {
    const file = this.#pathOf(name);
    await writeFile(`${file}.partial`, text);
    await rename(`${file}.partial`, file);
  }
}

function jsonOf(content: object): string {
  return `${JSON.stringify(content, null, 2)}\n`;
}

/**
 * Returns the metrics of a checkpoint's run up to the checkpoint; empty if the checkpoint is not in a run directory.
 */
async function metricsUpTo({ path: checkpoint, step, progress }: Checkpoint): Promise<string> {
  const run = runOf(checkpoint);
  if (run === undefined) return '';
  const text = await readFile(path.join(run, metricsFile), 'utf8').catch(ifMissing(''));
  return truncateMetricsAt(text, { step, isValidated: progress.validation?.step === step });
}
