// The result of one check by `lockstep doctor`, and its text output. The field names are part of the output of `doctor
// --json`.

/** `warning`: training works, but not as well as it could. `problem`: something that is required does not work. */
export type Mark = 'ok' | 'warning' | 'problem';

export interface Check {
  about: string;
  mark: Mark;
  says: string;
  /** Command or other action that fixes the problem; absent if there is none. */
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

/** Formats a table with the mark, subject and finding of each check, and the remedy below. */
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

/** Formats memory or disk space in binary units, like the tools of the operating system. */
export function formatGibibytes(bytes: number): string {
  const size = bytes / 2 ** 30;
  return `${size < 10 ? size.toFixed(1) : size.toFixed(0)} GiB`;
}
