// The live line on a terminal: it is never wider than the terminal, and it is cleared before the next line is printed.
import { describe, expect, it } from 'vitest';
import { fitColumns, RateLimitedPrinter } from '../../../cli/output/printer.js';

const parts = ['epoch 1/2', 'step 3/20', 'loss 2.1', 'rate 0.1'];

describe('fitColumns', () => {
  it('keeps all parts that fit', () => {
    // Parts of 9 + 9 + 8 + 8 characters and 3 separators of 3 characters: 43 columns.
    expect(fitColumns(parts, [3, 0], 43)).toBe('epoch 1/2 · step 3/20 · loss 2.1 · rate 0.1');
  });

  it('omits the least important parts first, and truncates the last one', () => {
    expect(fitColumns(parts, [3, 0], 42)).toBe('epoch 1/2 · step 3/20 · loss 2.1');
    expect(fitColumns(parts, [3, 0], 31)).toBe('step 3/20 · loss 2.1');
    expect(fitColumns(parts, [3, 0, 2], 19)).toBe('step 3/20');
    expect(fitColumns(parts, [3, 0, 2], 6)).toBe('step 3');
    expect(fitColumns(parts, [], 0)).toBe('');
  });
});

describe('RateLimitedPrinter on a terminal', () => {
  /** @param columns returns the current width of the terminal */
  function printerOf(columns: () => number) {
    const written: string[] = [];
    const write = (text: string) => void written.push(text);
    return { written, printer: new RateLimitedPrinter({ isTerminal: true, write, columns }) };
  }

  it('replaces the live line by the next line', () => {
    const { written, printer } = printerOf(() => 80);
    printer.live(['step 1']);
    printer.live(['step 2']);
    printer.line('done');
    expect(written).toEqual(['step 1', '\r\u001b[J', 'step 2', '\r\u001b[J', 'done\n']);
  });

  it('leaves the last column free, as some terminals wrap there', () => {
    const { written, printer } = printerOf(() => 10);
    printer.live(['0123456789']);
    expect(written).toEqual(['012345678']);
  });

  it('removes all rows of a live line that a narrower terminal has wrapped', () => {
    let columns = 80;
    const { written, printer } = printerOf(() => columns);
    printer.live(['x'.repeat(50)]);
    columns = 20;
    printer.line('next');
    // On a terminal of 20 columns, 50 characters fill three rows, two of them above the cursor.
    expect(written).toEqual(['x'.repeat(50), '\u001b[2A\r\u001b[J', 'next\n']);
  });

  it('keeps the live line before an error message', () => {
    const { written, printer } = printerOf(() => 80);
    printer.live(['step 1']);
    printer.endLive();
    printer.line('next');
    expect(written).toEqual(['step 1', '\n', 'next\n']);
  });

  it('escapes control characters in names and reasons from other machines', () => {
    const { written, printer } = printerOf(() => 80);
    printer.line('\u001b[2J\u009bevil joined\nweights 00 (exact)');
    printer.live(['step 1', 'by \u001b]0;title\u0007']);
    expect(written).toEqual([
      '\\u{1b}[2J\\u{9b}evil joined\\u{a}weights 00 (exact)\n',
      'step 1 · by \\u{1b}]0;title\\u{7}',
    ]);
  });
});
