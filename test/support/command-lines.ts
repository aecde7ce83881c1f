// Command lines of lockstep as pages, scripts and manifests show them, as the words that the program would be given.

/** A page's commands: those of its blocks for a shell, and those named within sentences, which may lack arguments. */
export interface PageCommands {
  blocks: string[][];
  inline: string[][];
  /** Options that stand alone in a sentence, such as `--resume auto`. */
  options: string[];
}

export function commandsOfPage(markdown: string): PageCommands {
  const blocks: string[][] = [];
  const prose = markdown.replaceAll(/^```(\w*)\n([\s\S]*?)^```$/gm, (_, language: string, text: string) => {
    if (language === 'sh') blocks.push(...commandsOfShell(text));
    // What is typed there stands behind a prompt, the rest is output.
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

/** What runs lockstep: its name (where that is not kubectl's namespace), a variable that holds it, or Node with the built file. */
const program = /(?<=^|(?<!-n)[\s'"(])(?:lockstep|\$lockstep|\$0|node \S*dist\/cli\.js) +(?=[a-z])(.*)$/;
/** Words that stand for whatever a caller adds. */
const whateverIsAdded = new Set(['$*', '$@', '$3', '$OPTIONS', '$RECIPE', '…']);

/** The words behind the program's name, line by line. Variables that are set in the text have their (first) value. */
export function commandsOfShell(text: string): string[][] {
  const lines = text
    .replaceAll(/\\\n\s*/g, ' ')
    // Comments go; what must be given is given, and a default is the value.
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
      // Several commands of one line each begin with the program's name.
      .flatMap((line) => line.split(/;| && | \|\|? |&$/))
      .flatMap((command) => {
        const rest = program.exec(command)?.[1];
        return rest === undefined ? [] : [wordsOf(rest).filter((word) => !whateverIsAdded.has(word))];
      })
  );
}

/** As a shell splits them, up to a comment, a redirection or a quote that was opened before the program's name. */
function wordsOf(rest: string): string[] {
  const words: string[] = [];
  for (const [word] of rest.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+|["'].*$/g)) {
    if (/^(?:#|>|<|&|\d>)/.test(word)) break;
    if (/^["'][^"']*$/.test(word)) break;
    words.push(word.replaceAll(/["']/g, ''));
  }
  return words;
}
