// Escapes control characters in text from other machines before it is printed on a terminal.

/** Control characters, line and paragraph separators, and bidirectional controls. */
const controlCharacters = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Escapes text for display on one line: ESC becomes `\u{1b}`, a newline becomes `\u{a}`. */
export function visible(text: string): string {
  return text.replace(controlCharacters, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** Escapes text that may have several lines. Keeps the newlines. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n');
}
