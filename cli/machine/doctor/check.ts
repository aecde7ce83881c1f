// The result of a check by the doctor, and its text for people. The field names are those of `doctor --json`.

/** `warning`: it works, but not as well as it could. `problem`: something that is needed does not work. */
export type Mark = 'ok' | 'warning' | 'problem';

export interface Check {
  about: string;
  mark: Mark;
  says: string;
  /** A command or another remedy; absent if all is well. */
  remedy?: string | undefined;
}

export interface CheckGroup {
  title: string;
  checks: readonly Check[];
}

export function checksMarked(mark: Mark, groups: readonly CheckGroup[]): Check[] {
  return groups.flatMap(({ checks }) => checks.filter((check) => check.mark === mark));
}

const markWidth = 'problem'.length;

/** A table with the mark, the subject and the finding of each check, and the remedy below. */
export function describeChecks(groups: readonly CheckGroup[]): string[] {
  const aboutWidth = Math.max(...groups.flatMap(({ checks }) => checks.map(({ about }) => about.length)));
  const indent = ' '.repeat(2 + markWidth + 2 + aboutWidth + 2);
  return groups.flatMap(({ title, checks }) => [
    '',
    title,
    ...checks.flatMap(({ about, mark, says, remedy }) => {
      const [first, ...others] = [...says.split('\n'), ...(remedy === undefined ? [] : [`-> ${remedy}`])];
      return [
        `  ${mark.padEnd(markWidth)}  ${about.padEnd(aboutWidth)}  ${first}`,
        ...others.map((line) => `${indent}${line}`),
      ];
    }),
  ]);
}

/** Memory and disk space, in binary units as the system's own tools show them. */
export function formatGibibytes(bytes: number): string {
  const size = bytes / 2 ** 30;
  return `${size < 10 ? size.toFixed(1) : size.toFixed(0)} GiB`;
}
