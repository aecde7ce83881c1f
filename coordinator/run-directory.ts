// A run's folder: the resolved configuration, a line of metrics per step, the checkpoints and the final report.
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import path from 'node:path';
import type { Config } from '../shared/config.js';
import { LockstepError, systemCodeOf } from '../shared/errors.js';
import { listCheckpoints } from './checkpoint.js';
import type { MetricsLine, Report } from './report.js';

/** `runs/2026-11-23T10-20-30`, in local time, as people look for it. */
export function defaultRunDirectory(now: Date): string {
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  return path.join('runs', local.toISOString().slice(0, 19).replaceAll(':', '-'));
}

export class RunDirectory {
  readonly directory: string;
  readonly checkpoints: string;
  readonly #metrics: WriteStream;
  #writeError: Error | undefined;

  private constructor(directory: string, metrics: WriteStream) {
    this.directory = directory;
    this.checkpoints = path.join(directory, 'checkpoints');
    this.#metrics = metrics;
    metrics.on('error', (error) => {
      this.#writeError ??= error;
    });
  }

  /** Makes the folder. Throws `bad-option` where it holds a run already: two runs in one folder would be neither. */
  static async create(directory: string, config: Config): Promise<RunDirectory> {
    const checkpoints = path.join(directory, 'checkpoints');
    try {
      if ((await listCheckpoints(checkpoints)).length > 0) {
        throw new LockstepError('bad-option', `--run-dir ${directory} holds a run already: name another folder`);
      }
      await mkdir(checkpoints, { recursive: true });
    } catch (cause) {
      if (cause instanceof LockstepError) throw cause;
      throw new LockstepError(
        'bad-option',
        `--run-dir ${directory} cannot be made (${systemCodeOf(cause) ?? String(cause)}): name a folder that can be written`,
        { cause },
      );
    }
    const metrics = createWriteStream(path.join(directory, 'metrics.jsonl'));
    const run = new RunDirectory(directory, metrics);
    await run.#writeWhole('config.json', config);
    return run;
  }

  /** Adds a line to metrics.jsonl. */
  log(line: MetricsLine): void {
    this.#metrics.write(`${JSON.stringify(line)}\n`);
  }

  async writeReport(report: Report): Promise<void> {
    await this.#writeWhole('report.json', report);
  }

  /** Waits for the last line. Throws the first error that any line met. */
  async close(): Promise<void> {
    this.#metrics.end();
    if (!this.#metrics.closed) await once(this.#metrics, 'close');
    if (this.#writeError !== undefined) throw this.#writeError;
  }

  async #writeWhole(name: string, content: object): Promise<void> {
    const file = path.join(this.directory, name);
    await writeFile(`${file}.partial`, `${JSON.stringify(content, null, 2)}\n`);
    await rename(`${file}.partial`, file);
  }
}
