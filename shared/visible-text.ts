// Text from elsewhere for a terminal: whatever would steer it, or write in the other direction, is written out.

/** Control characters, line and paragraph separators, and what turns the direction of writing. */
const steering = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** In one line: ESC becomes `\u{1b}`, a new line `\u{a}`. */
export function visible(text: string): string {
  return text.replace(steering, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** The same for text that may have lines of its own. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n');
}
