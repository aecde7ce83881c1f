import { expect, it } from 'vitest';
import { visible, visibleLines } from '../../shared/visible-text.js';

it.each([
  ['worker-1 · 20 µs, größer', 'worker-1 · 20 µs, größer'],
  ['\u001b[2Jgone', '\\u{1b}[2Jgone'],
  ['a\r\nb\tc\u0000\u007f', 'a\\u{d}\\u{a}b\\u{9}c\\u{0}\\u{7f}'],
  // Single-character forms of the Control Sequence Introducer (CSI) and the String Terminator (ST).
  ['\u009b31m\u009c', '\\u{9b}31m\\u{9c}'],
  // Bidirectional controls: right-to-left override, left-to-right isolate.
  ['abc\u202edef\u2066', 'abc\\u{202e}def\\u{2066}'],
  ['one\u2028two', 'one\\u{2028}two'],
])('%j is shown as %s', (text, shown) => {
  expect(visible(text)).toBe(shown);
});

it('visibleLines keeps line breaks', () => {
  expect(visibleLines('one\n\u001btwo')).toBe('one\n\\u{1b}two');
});
