// A live line on a terminal: never wider than it, gone before the next line, also when the terminal was made narrower.
import { describe, expect, it } from 'vitest';
import { fitting, RateLimitedPrinter } from '../../../cli/output/line-writer.js';

const parts = ['epoch 1/2', 'step 3/20', 'loss 2.1', 'rate 0.1'];

describe('the parts of a live line', () => {
  it('are all there where they fit', () => {
    // 9 + 9 + 8 + 8 characters and three separators of 3.
    expect(fitting(parts, [3, 0], 43)).toBe('epoch 1/2 · step 3/20 · loss 2.1 · rate 0.1');
  });

  it('go one after the other, the least important first, and the last is cut', () => {
    expect(fitting(parts, [3, 0], 42)).toBe('epoch 1/2 · step 3/20 · loss 2.1');
    expect(fitting(parts, [3, 0], 31)).toBe('step 3/20 · loss 2.1');
    expect(fitting(parts, [3, 0, 2], 19)).toBe('step 3/20');
    expect(fitting(parts, [3, 0, 2], 6)).toBe('step 3');
    expect(fitting(parts, [], 0)).toBe('');
  });
});

describe('a terminal', () => {
  /** What is written, as text. @param columns how wide it is at each write */
  function writerOf(columns: () => number) {
    const written: string[] = [];
    const write = (text: string) => void written.push(text);
    return { written, writer: new RateLimitedPrinter({ isTerminal: true, write, columns }) };
  }

  it('has one live line, which the next line replaces', () => {
    const { written, writer } = writerOf(() => 80);
    writer.live(['step 1']);
    writer.live(['step 2']);
    writer.line('done');
    expect(written).toEqual(['step 1', '\r\u001b[J', 'step 2', '\r\u001b[J', 'done\n']);
  });

  it('keeps its last column free, where some begin a new line', () => {
    const { written, writer } = writerOf(() => 10);
    writer.live(['0123456789']);
    expect(written).toEqual(['012345678']);
  });

  it('that was made narrower has folded the line: all of its rows go', () => {
    let columns = 80;
    const { written, writer } = writerOf(() => columns);
    writer.live(['x'.repeat(50)]);
    columns = 20;
    writer.line('next');
    // 50 characters in rows of 20 are three: two above the cursor.
    expect(written).toEqual(['x'.repeat(50), '\u001b[2A\r\u001b[J', 'next\n']);
  });

  it('leaves the live line where an error comes behind it', () => {
    const { written, writer } = writerOf(() => 80);
    writer.live(['step 1']);
    writer.endLive();
    writer.line('next');
    expect(written).toEqual(['step 1', '\n', 'next\n']);
  });

  it('is not steered by what others call themselves or say', () => {
    const { written, writer } = writerOf(() => 80);
    writer.line('\u001b[2J\u009bevil joined\nweights 00 (exact)');
    writer.live(['step 1', 'by \u001b]0;title\u0007']);
    expect(written).toEqual([
      '\\u{1b}[2J\\u{9b}evil joined\\u{a}weights 00 (exact)\n',
      'step 1 · by \\u{1b}]0;title\\u{7}',
    ]);
  });
});
