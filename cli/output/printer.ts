// Human-readable output: complete lines, and progress that a terminal updates in place. Names and reasons from other
// machines may be part of it, so control characters are escaped and cannot affect the terminal.
import type { Command } from 'commander';
import { visible } from '../../shared/visible-text.js';
import { withFlags } from './flag-names.js';

export interface Output {
  isTerminal: boolean;
  write(text: string): void;
  /** Current width of the terminal in characters. */
  columns?(): number;
}

export const standardOutput: Output = {
  // A dumb terminal cannot move the cursor back.
  isTerminal: process.stdout.isTTY && process.env['TERM'] !== 'dumb',
  write: (text) => void process.stdout.write(text),
  columns: () => process.stdout.columns,
};

/** Discards everything. */
export const noOutput: Output = { isTerminal: false, write: () => undefined };

/** Writes a value as one line of JSON. @param replacer as in JSON.stringify */
export function writeJsonLine(
  output: Output,
  value: object,
  replacer?: (key: string, value: unknown) => unknown,
): void {
  output.write(`${JSON.stringify(value, replacer)}\n`);
}

/** Prints lines to the configured output of the command, which tests redirect. */
export function printLines(command: Command, lines: readonly string[]): void {
  for (const line of lines) command.configureOutput().writeOut?.(`${line}\n`);
}

const separator = ' · ';
const defaultColumns = 80;
/** If the output is not a terminal, progress is written at most this often. */
const progressIntervalMs = 10_000;

/** Prints complete lines. On a terminal, progress is a live line that the next line replaces. */
export class RateLimitedPrinter {
  readonly #output: Output;
  #liveLength = 0;
  #progressMs = performance.now();

  constructor(output: Output) {
    this.#output = output;
  }

  get isTerminal(): boolean {
    return this.#output.isTerminal;
  }

  get #columns(): number {
    // A terminal that does not know its width reports 0.
    return this.#output.columns?.() || defaultColumns;
  }

  line(...texts: readonly string[]): void {
    this.#clear();
    for (const text of texts) this.#output.write(`${printable(text)}\n`);
  }

  /** Like `live`, but if the output is not a terminal, prints a line at most every 10 seconds. */
  progress(parts: readonly string[], dispensable: readonly number[]): void {
    if (this.isTerminal) return this.live(parts, dispensable);
    const nowMs = performance.now();
    if (nowMs - this.#progressMs < progressIntervalMs) return;
    this.#progressMs = nowMs;
    this.line(parts.join(separator));
  }

  /**
   * Shows progress on a terminal. Prints nothing if the output is not a terminal.
   * @param dispensable indices of the parts to omit on a narrow terminal, the least important first
   */
  live(parts: readonly string[], dispensable: readonly number[] = []): void {
    if (!this.isTerminal) return;
    this.#clear();
    // Some terminals wrap to a new line when the last column is written.
    const text = fitColumns(parts.map(printable), dispensable, this.#columns - 1);
    this.#output.write(text);
    this.#liveLength = text.length;
  }

  /** Keeps the live line, if there is one, and starts a new line. */
  endLive(): void {
    if (this.#liveLength > 0) this.#output.write('\n');
    this.#liveLength = 0;
  }

  /** Prints a warning to stderr, where it is not mistaken for output. */
  warning(text: string): void {
    this.#clear();
    process.stderr.write(`lockstep: warning: ${printable(text)}\n`);
  }

  #clear(): void {
    if (this.#liveLength === 0) return;
    // A terminal that has become narrower has wrapped the line.
    const rowsAbove = Math.ceil(this.#liveLength / this.#columns) - 1;
    this.#output.write(`${rowsAbove > 0 ? `\u001b[${rowsAbove}A` : ''}\r\u001b[J`);
    this.#liveLength = 0;
  }
}

/** Returns a single line of text, with control characters escaped and option names replaced with flags. */
export function printable(text: string): string {
  return visible(withFlags(text));
}

/** Joins the parts. Omits dispensable parts until the text fits, and truncates it if it still does not fit. */
export function fitColumns(parts: readonly string[], dispensable: readonly number[], columns: number): string {
  const isShown = parts.map(() => true);
  const text = () => parts.filter((_, index) => isShown[index]).join(separator);
  for (const index of dispensable) {
    if (text().length <= columns) break;
    isShown[index] = false;
  }
  return text().slice(0, Math.max(0, columns));
}
