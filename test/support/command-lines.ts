// Extracts Lockstep's command lines from pages, scripts and manifests, as the words that the program would receive.

/** Commands and options that appear on a page. */
export interface PageCommands {
  /** Commands in blocks of shell code. */
  blocks: string[][];
  /** Commands within sentences, where arguments may be missing. */
  inline: string[][];
  /** Options that appear within sentences without a command, such as `--resume auto`. */
  options: string[];
}

export function commandsOfPage(markdown: string): PageCommands {
  const blocks: string[][] = [];
  const prose = markdown.replaceAll(/^```(\w*)\n([\s\S]*?)^```$/gm, (_, language: string, text: string) => {
    if (language === 'sh') blocks.push(...commandsOfShell(text));
    // Only lines that start with a prompt are input.
    if (language === 'console')
      blocks.push(...commandsOfShell([...text.matchAll(/^\$ (.*)$/gm)].map(([, line]) => line).join('\n')));
    return '';
  });
  const spans = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, span]) => span);
  return {
    blocks,
    inline: spans.flatMap(commandsOfShell),
    options: spans.flatMap((span) => /^(--[a-z][a-z-]*)/.exec(span)?.[1] ?? []),
  };
}

/**
 * Matches an invocation of Lockstep: by name (but not as kubectl's namespace), through a variable, or as the built file
 * run by Node.
 */
const program = /(?<=^|(?<!-n)[\s'"(])(?:lockstep|\$lockstep|\$0|node \S*dist\/cli\.js) +(?=[a-z])(.*)$/;
/** Placeholders for arguments that the user adds. */
const placeholders = new Set(['$*', '$@', '$3', '$OPTIONS', '$RECIPE', '…']);

/**
 * Returns the words after the program's name, for each command. A variable that the text assigns is replaced by its
 * first value.
 */
export function commandsOfShell(text: string): string[][] {
  const lines = text
    .replaceAll(/\\\n\s*/g, ' ')
    // Remove comments. Replace required variables with a dummy value and optional ones with their default.
    .replaceAll(/(?<=^|\s)#.*$/gm, '')
    .replaceAll(/\$\{\w+:\?[^}]*\}/g, 'GIVEN')
    .replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1')
    .split('\n');
  const variables = new Map<string, string>();
  for (const line of lines) {
    for (const [, name, quoted, plain] of line.matchAll(/(?:^|\s)(\w+)=(?:"([^"]*)"|([\w./-]+))/g)) {
      variables.set(name, quoted ?? plain);
    }
    for (const [, name, first] of line.matchAll(/\bfor (\w+) in (\S+)/g)) variables.set(name, first);
  }
  return (
    lines
      .map((line) => line.replaceAll(/\$(\w+)/g, (found, name: string) => variables.get(name) ?? found))
      // A line may contain several commands.
      .flatMap((line) => line.split(/;| && | \|\|? |&$/))
      .flatMap((command) => {
        const rest = program.exec(command)?.[1];
        return rest === undefined ? [] : [wordsOf(rest).filter((word) => !placeholders.has(word))];
      })
  );
}

/**
 * Splits text into words as a shell does. Stops at a comment, a redirection, or the end of a quote that was opened
 * before the program's name.
 */
function wordsOf(rest: string): string[] {
  const words: string[] = [];
  for (const [word] of rest.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+|["'].*$/g)) {
    if (/^(?:#|>|<|&|\d>)/.test(word)) break;
    if (/^["'][^"']*$/.test(word)) break;
    words.push(word.replaceAll(/["']/g, ''));
  }
  return words;
}
