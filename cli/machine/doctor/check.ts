// What the doctor says of one thing, and how a person reads it. Pure.

/** `warning`: it works, but not as well as it could. `problem`: what was asked for does not work. */
export type Mark = 'ok' | 'warning' | 'problem';

export interface Check {
  about: string;
  mark: Mark;
  says: string;
  /** The command, or what else mends it; there unless all is well. */
  remedy?: string;
}

export interface Section {
  title: string;
  checks: readonly Check[];
}

export function problemsIn(sections: readonly Section[]): Check[] {
  return sections.flatMap(({ checks }) => checks.filter(({ mark }) => mark === 'problem'));
}

const markWidth = 'problem'.length;

/** A table: the mark as a word, what it is about, what is said of it; the remedy below. */
export function describeSections(sections: readonly Section[]): string[] {
  const aboutWidth = Math.max(...sections.flatMap(({ checks }) => checks.map(({ about }) => about.length)));
  const indent = ' '.repeat(2 + markWidth + 2 + aboutWidth + 2);
  return sections.flatMap(({ title, checks }) => [
    '',
    title,
    ...checks.flatMap(({ about, mark, says, remedy }) => [
      ...says
        .split('\n')
        .map((line, place) =>
          place === 0 ? `  ${mark.padEnd(markWidth)}  ${about.padEnd(aboutWidth)}  ${line}` : `${indent}${line}`,
        ),
      ...(remedy === undefined ? [] : [`${indent}-> ${remedy}`]),
    ]),
  ]);
}

export function gibibytes(bytes: number): string {
  const size = bytes / 2 ** 30;
  return `${size < 10 ? size.toFixed(1) : size.toFixed(0)} GiB`;
}
