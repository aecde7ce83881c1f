// Every command line of lockstep that a page, a script or a manifest shows is one that the program takes: command, options,
// choices, arguments, and the recipe's values. None of them is run.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CommanderError } from 'commander';
import { DockerfileParser } from 'dockerfile-ast';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { readConfig } from '../../cli/options/config-options.js';
import { describeNextSteps } from '../../cli/train/start.js';
import { commandsOfPage, commandsOfShell } from '../support/command-lines.js';
import { commandTree, loadedProgram } from '../support/program.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const deployed = readdirSync(path.join(root, 'deploy'), { recursive: true, encoding: 'utf8' }).map((file) =>
  path.posix.join('deploy', file),
);
const pages = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', ...deployed.filter((file) => file.endsWith('.md'))];
const scripts = ['.ci/run', ...deployed.filter((file) => /\.(sh|sbatch|service)$/.test(file))];

const lacking = new Set(['commander.missingArgument', 'commander.missingMandatoryOptionValue']);

/** Why the program does not take these words; undefined where it does. */
async function whyNotTaken(words: readonly string[], mayLackArguments = false): Promise<string | undefined> {
  const program = await loadedProgram();
  for (const command of commandTree(program)) {
    command.configureOutput({ writeOut: () => undefined, writeErr: () => undefined }).exitOverride();
    if (command.commands.length > 0) continue;
    command.action(async () => {
      const options = command.opts<Record<string, string>>();
      // The file that a page names is not there.
      if (['train', 'coordinator', 'config'].includes(command.name()))
        await readConfig({ ...options, config: undefined });
    });
  }
  try {
    // A variable of a script may stand for a number.
    await program.parseAsync(
      words.map((word) => word.replace(/^\$\w+$/, '1')),
      { from: 'user' },
    );
    return undefined;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return undefined;
      if (mayLackArguments && lacking.has(error.code)) return undefined;
    }
    return `${words.join(' ')}: ${String(error)}`;
  }
}

async function refusalsOf(commands: readonly (readonly string[])[], mayLackArguments = false): Promise<string[]> {
  const refusals = await Promise.all(commands.map((words) => whyNotTaken(words, mayLackArguments)));
  return refusals.filter((refusal) => refusal !== undefined);
}

const ownOptions = new Set(
  commandTree(await loadedProgram()).flatMap(({ options }) => options.map(({ long }) => long)),
);
/** Of npm, and of sbatch and srun. */
const optionsOfOthers = new Set([
  '--ignore-scripts',
  '--gpus-per-task',
  '--signal',
  '--cpus-per-task',
  '--mem-per-cpu',
  '--partition',
]);

describe('what a page shows', () => {
  it.each(pages)('%s', async (page) => {
    const { blocks, inline, options } = commandsOfPage(read(page));
    expect(await refusalsOf(blocks)).toEqual([]);
    // A sentence names a command without what it would need to run, and in capitals what the reader puts there.
    expect(await refusalsOf(inline, true)).toEqual([]);
    expect(options.filter((option) => !ownOptions.has(option) && !optionsOfOthers.has(option))).toEqual([]);
  });

  it('is seen at all', () => {
    const found = pages.map((page) => commandsOfPage(read(page)));
    expect(found.flatMap(({ blocks }) => blocks).length).toBeGreaterThan(50);
    expect(found.flatMap(({ inline }) => inline).length).toBeGreaterThan(5);
    expect(found.flatMap(({ options }) => options).length).toBeGreaterThan(60);
  });
});

describe('what a script or a unit runs', () => {
  it.each(scripts)('%s', async (file) => {
    const commands = commandsOfShell(read(file));
    expect(commands.length).toBeGreaterThan(0);
    expect(await refusalsOf(commands)).toEqual([]);
  });
});

describe('what a container runs', () => {
  it.each(deployed.filter((file) => file.endsWith('.Dockerfile')))('%s', async (file) => {
    const stages = DockerfileParser.parse(read(file));
    const ofImage = stages.getCMDs().map((command) => command.getJSONStrings().map((word) => word.getJSONValue()));
    // A build argument's default in its place.
    const defaults = new Map(
      stages.getARGs().map((argument) => [argument.getProperty()?.getName(), argument.getProperty()?.getValue() ?? '']),
    );
    const filledIn = read(file).replaceAll(/\$\{(\w+)\}/g, (word, name: string) => defaults.get(name) ?? word);
    const whileBuilding = commandsOfShell(filledIn);
    expect(ofImage).toHaveLength(1);
    expect(await refusalsOf([...ofImage, ...whileBuilding])).toEqual([]);
  });

  it.each(['deploy/docker/compose.yaml', 'deploy/docker/compose.tls.yaml'])('%s', async (file) => {
    const compose = z.object({ services: z.record(z.string(), z.object({ command: z.array(z.string()) })) });
    const { services } = compose.parse(parseAllDocuments(read(file))[0].toJS());
    // Compose puts a variable's default in its place.
    const commands = Object.values(services).map(({ command }) =>
      command.map((word) => word.replace(/^\$\{\w+:-(.*)\}$/, '$1')),
    );
    expect(commands).toHaveLength(2);
    expect(await refusalsOf(commands)).toEqual([]);
  });

  it.each(['coordinator', 'workers'])('deploy/kubernetes/%s.yaml', async (name) => {
    const container = z.object({ command: z.array(z.string()).optional(), args: z.array(z.string()) });
    const workload = z.object({
      kind: z.enum(['StatefulSet', 'Job']),
      spec: z.object({ template: z.object({ spec: z.object({ containers: z.array(container) }) }) }),
    });
    const commands = parseAllDocuments(read(`deploy/kubernetes/${name}.yaml`)).flatMap((document) => {
      const { success, data } = workload.safeParse(document.toJS());
      if (!success) return [];
      return data.spec.template.spec.containers.map(({ command, args }) => {
        const [begin = []] = commandsOfShell(command?.at(-2) ?? '');
        return begin.concat(args);
      });
    });
    expect(commands).toHaveLength(1);
    expect(await refusalsOf(commands)).toEqual([]);
  });
});

describe('what lockstep start says to do next', () => {
  const engines = {
    wasm: { engine: 'wasm', fingerprint: '', workers: 2 },
    tensorflow: { engine: 'tensorflow', fingerprint: '', workers: 2 },
  };
  const nextSteps = (hasRealImages: boolean, engine: keyof typeof engines) =>
    describeNextSteps('lockstep', hasRealImages, 'runs/first', {
      imagesPerSecond: 400,
      engines: [engines[engine]],
    }).join('\n');
  const commandsOf = (text: string) => commandsOfShell(text.replaceAll(/<[^>]*>/g, 'GIVEN'));
  const namesOf = (text: string) => commandsOf(text).map(([name]) => name);
  const withTheRun = ['dashboard', 'evaluate', 'export'];

  it('is with this run, with real images, with other machines and with TensorFlow', async () => {
    const text = nextSteps(false, 'wasm');
    expect(namesOf(text)).toEqual([
      ...withTheRun,
      'data',
      'train',
      'coordinator',
      'worker',
      'setup-tensorflow',
      'bench',
    ]);
    expect(await refusalsOf(commandsOf(text))).toEqual([]);
    // 64,000 steps of 128 images at 400 a second: 20,480 s
    expect(text).toContain('about 5 h 41 min');
  });

  it('leaves out what is there already, and names pictures where the network knows real ones', async () => {
    const text = nextSteps(true, 'tensorflow');
    const [first, second, last] = withTheRun;
    expect(namesOf(text)).toEqual([first, second, 'predict', last, 'train', 'coordinator', 'worker', 'bench']);
    expect(await refusalsOf(commandsOf(text))).toEqual([]);
  });
});

describe('what is not taken', () => {
  it.each([
    ['an option that there is not', ['train', '--bacth-size', '3']],
    ['a value that is none', ['train', '--depth', '21']],
    ['a choice that is none', ['worker', 'ws://h:1', '--engine', 'abacus']],
    ['a word too many', ['evaluate', 'a', 'b']],
    ['a command that there is not', ['trian']],
    ['an option of a command within another', ['data', 'download', 'x', '--fast']],
  ])('%s', async (_, words) => expect(await whyNotTaken(words)).toContain(words[0]));
});
