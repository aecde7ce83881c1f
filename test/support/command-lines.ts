// Extracts Lockstep's command lines from pages, scripts and manifests, as the words that the program would receive.

/** A page's commands. */
export interface PageCommands {
  /** In blocks of shell code. */
  blocks: string[][];
  /** Within sentences, where they may lack arguments. */
  inline: string[][];
  /** Options alone within sentences, such as `--resume auto`. */
  options: string[];
}

export function commandsOfPage(markdown: string): PageCommands {
  const blocks: string[][] = [];
  const prose = markdown.replaceAll(/^```(\w*)\n([\s\S]*?)^```$/gm, (_, language: string, text: string) => {
    if (language === 'sh') blocks.push(...commandsOfShell(text));
    // Input follows a prompt; the rest is output.
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

/** How Lockstep is invoked: by name (unless it is kubectl's namespace), through a variable, or as Node with the built file. */
const program = /(?<=^|(?<!-n)[\s'"(])(?:lockstep|\$lockstep|\$0|node \S*dist\/cli\.js) +(?=[a-z])(.*)$/;
/** Placeholders for what a caller adds. */
const placeholders = new Set(['$*', '$@', '$3', '$OPTIONS', '$RECIPE', '…']);

/** The words after the program's name, per command. Variables that the text sets have their first value. */
export function commandsOfShell(text: string): string[][] {
  const lines = text
    .replaceAll(/\\\n\s*/g, ' ')
    // Removes comments; required variables get a value and others their default.
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
      // A line may hold several commands.
      .flatMap((line) => line.split(/;| && | \|\|? |&$/))
      .flatMap((command) => {
        const rest = program.exec(command)?.[1];
        return rest === undefined ? [] : [wordsOf(rest).filter((word) => !placeholders.has(word))];
      })
  );
}

/** Splits words as a shell does, up to a comment, a redirection, or a quote that was opened before the program's name. */
function wordsOf(rest: string): string[] {
  const words: string[] = [];
  for (const [word] of rest.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+|["'].*$/g)) {
    if (/^(?:#|>|<|&|\d>)/.test(word)) break;
    if (/^["'][^"']*$/.test(word)) break;
    words.push(word.replaceAll(/["']/g, ''));
  }
  return words;
}
