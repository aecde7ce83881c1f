// Lines for a person: whole ones, and on a terminal one live line that never wraps; numbers in words. What others call
// themselves and say, their names and reasons, stands in them: nothing of it steers the terminal.
import { visible } from '../../shared/visible-text.js';

export interface Output {
  isTerminal: boolean;
  write(text: string): void;
  /** Characters in a line of the terminal, at this moment. */
  columns?(): number;
}

export const standardOutput: Output = {
  // A dumb terminal knows no way back.
  isTerminal: process.stdout.isTTY && process.env['TERM'] !== 'dumb',
  write: (text) => void process.stdout.write(text),
  columns: () => process.stdout.columns,
};

/** Takes lines and shows none. */
export const nowhere: Output = { isTerminal: false, write: () => undefined };

const separator = ' · ';
const usualColumns = 80;

/** Writes whole lines; on a terminal the last one may be a live line that the next one replaces. */
export class RateLimitedPrinter {
  readonly #output: Output;
  #liveLength = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  get isTerminal(): boolean {
    return this.#output.isTerminal;
  }

  get #columns(): number {
    // A terminal that does not know its width says 0.
    return this.#output.columns?.() || usualColumns;
  }

  line(text: string): void {
    this.#clear();
    this.#output.write(`${visible(text)}\n`);
  }

  /** @param dispensable places of parts that a narrow terminal does without, the first one first */
  live(parts: readonly string[], dispensable: readonly number[] = []): void {
    this.#clear();
    // In the last column some terminals begin a new line.
    const text = fitting(parts.map(visible), dispensable, this.#columns - 1);
    this.#output.write(text);
    this.#liveLength = text.length;
  }

  /** What comes next begins in a line of its own. */
  endLive(): void {
    if (this.#liveLength > 0) this.#output.write('\n');
    this.#liveLength = 0;
  }

  /** To standard error, where it stands out and is not taken for output. */
  warning(text: string): void {
    this.#clear();
    process.stderr.write(`lockstep: warning: ${visible(text)}\n`);
  }

  #clear(): void {
    if (this.#liveLength === 0) return;
    // A terminal that was made narrower since has folded the line.
    const rowsAbove = Math.ceil(this.#liveLength / this.#columns) - 1;
    this.#output.write(`${rowsAbove > 0 ? `\u001b[${rowsAbove}A` : ''}\r\u001b[J`);
    this.#liveLength = 0;
  }
}

/** As many of the parts as fit into a line; what does not fit even alone is cut. */
export function fitting(parts: readonly string[], dispensable: readonly number[], columns: number): string {
  const isShown = parts.map(() => true);
  const text = () => parts.filter((_, place) => isShown[place]).join(separator);
  for (const place of dispensable) {
    if (text().length <= columns) break;
    isShown[place] = false;
  }
  return text().slice(0, Math.max(0, columns));
}

export function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** `42 s`, `3 min 20 s`, `5 h 12 min` */
export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Behind a run's other figures. */
export function timeLeft(seconds: number | null): string {
  return seconds === null ? 'time left unknown' : `${duration(1000 * seconds)} left`;
}
