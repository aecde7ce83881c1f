// The program must accept every Lockstep command line in the documentation, in scripts and in manifests: its command,
// options, choices, arguments, and values of training options. The commands are parsed but not run. docs/protocol.md is
// checked against the message definitions.
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
import { closeCodes } from '../../shared/protocol/close-codes.js';
import { protocolVersion } from '../../shared/protocol/messages.js';
import { commandsOfPage, commandsOfShell } from '../support/command-lines.js';
import { commandTree, loadedProgram } from '../support/program.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const filesIn = (folder: string) =>
  readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) =>
    path.posix.join(folder, file),
  );
const deployed = filesIn('deploy');
/** Pages written by hand, as opposed to those that the site's build generates or installs. */
const documentation = filesIn('docs').filter((file) => !/^docs\/(node_modules|api|generated|\.vitepress)\//.test(file));
const pages = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', ...documentation, ...deployed].filter((file) =>
  file.endsWith('.md'),
);
const scripts = ['.ci/run', ...deployed.filter((file) => /\.(sh|sbatch|service)$/.test(file))];

const missingWords = new Set(['commander.missingArgument', 'commander.missingMandatoryOptionValue']);

/** Returns options without the files that they name. */
function absentFiles({ network }: Record<string, string>): Record<string, undefined> {
  return { config: undefined, ...(network?.endsWith('.json') ? { network: undefined } : {}) };
}

/** Returns the program's error message for a command line, or undefined if the program accepts it. */
async function errorOf(words: readonly string[], mayLackArguments = false): Promise<string | undefined> {
  const program = await loadedProgram();
  for (const command of commandTree(program)) {
    command.configureOutput({ writeOut: () => undefined, writeErr: () => undefined }).exitOverride();
    if (command.commands.length > 0) continue;
    command.action(async () => {
      const options = command.opts<Record<string, string>>();
      // Files named in the documentation do not exist here.
      if (['train', 'coordinator', 'config'].includes(command.name()))
        await readConfig({ ...options, ...absentFiles(options) });
    });
  }
  try {
    // A script variable or N may stand for a number.
    await program.parseAsync(
      words.map((word) => word.replace(/^(\$\w+|N)$/, '1')),
      { from: 'user' },
    );
    return undefined;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return undefined;
      if (mayLackArguments && missingWords.has(error.code)) return undefined;
    }
    return `${words.join(' ')}: ${String(error)}`;
  }
}

async function errorsOf(commands: readonly (readonly string[])[], mayLackArguments = false): Promise<string[]> {
  const errors = await Promise.all(commands.map((words) => errorOf(words, mayLackArguments)));
  return errors.filter((error) => error !== undefined);
}

const ownOptions = new Set(
  commandTree(await loadedProgram()).flatMap(({ options }) => options.map(({ long }) => long)),
);
/** Options that belong to npm, sbatch, srun, V8 or the benchmarks. */
const optionsOfOthers = new Set([
  '--ignore-scripts',
  '--gpus-per-task',
  '--signal',
  '--cpus-per-task',
  '--mem-per-cpu',
  '--partition',
  '--trace-gc',
  '--expose-gc',
  '--pairs',
  '--filters',
  '--peer',
  '--relays',
  '--encodings',
  '--help',
]);

describe('commands in the documentation', () => {
  it.each(pages)('%s', async (page) => {
    const { blocks, inline, options } = commandsOfPage(read(page));
    expect(await errorsOf(blocks)).toEqual([]);
    // A command quoted in a sentence may omit its arguments.
    expect(await errorsOf(inline, true)).toEqual([]);
    expect(options.filter((option) => !ownOptions.has(option) && !optionsOfOthers.has(option))).toEqual([]);
  });

  it('are found', () => {
    const found = pages.map((page) => commandsOfPage(read(page)));
    expect(found.flatMap(({ blocks }) => blocks).length).toBeGreaterThan(90);
    expect(found.flatMap(({ inline }) => inline).length).toBeGreaterThan(15);
    expect(found.flatMap(({ options }) => options).length).toBeGreaterThan(120);
  });
});

describe('commands in scripts and units', () => {
  it.each(scripts)('%s', async (file) => {
    const commands = commandsOfShell(read(file));
    expect(commands.length).toBeGreaterThan(0);
    expect(await errorsOf(commands)).toEqual([]);
  });
});

describe('commands of containers', () => {
  it.each(deployed.filter((file) => file.endsWith('.Dockerfile')))('%s', async (file) => {
    const stages = DockerfileParser.parse(read(file));
    const ofImage = stages.getCMDs().map((command) => command.getJSONStrings().map((word) => word.getJSONValue()));
    // Docker replaces build arguments with their defaults.
    const defaults = new Map(
      stages.getARGs().map((argument) => [argument.getProperty()?.getName(), argument.getProperty()?.getValue() ?? '']),
    );
    const filledIn = read(file).replaceAll(/\$\{(\w+)\}/g, (word, name: string) => defaults.get(name) ?? word);
    const whileBuilding = commandsOfShell(filledIn);
    expect(ofImage).toHaveLength(1);
    expect(await errorsOf([...ofImage, ...whileBuilding])).toEqual([]);
  });

  it.each(['deploy/docker/compose.yaml', 'deploy/docker/compose.tls.yaml'])('%s', async (file) => {
    const compose = z.object({ services: z.record(z.string(), z.object({ command: z.array(z.string()) })) });
    const { services } = compose.parse(parseAllDocuments(read(file))[0].toJS());
    // Compose replaces unset variables with their defaults.
    const commands = Object.values(services).map(({ command }) =>
      command.map((word) => word.replace(/^\$\{\w+:-(.*)\}$/, '$1')),
    );
    expect(commands).toHaveLength(2);
    expect(await errorsOf(commands)).toEqual([]);
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
    expect(await errorsOf(commands)).toEqual([]);
  });
});

describe('the next steps that `lockstep start` suggests', () => {
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

  it('cover this run, real images, other machines and TensorFlow', async () => {
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
    expect(await errorsOf(commandsOf(text))).toEqual([]);
    // 64,000 steps × 128 images / (400 images/s) = 20,480 s
    expect(text).toContain('about 5 h 41 min');
  });

  it('omit what is already set up, and include predicting images if the network was trained on real ones', async () => {
    const text = nextSteps(true, 'tensorflow');
    const [first, second, last] = withTheRun;
    expect(namesOf(text)).toEqual([first, second, 'predict', last, 'train', 'coordinator', 'worker', 'bench']);
    expect(await errorsOf(commandsOf(text))).toEqual([]);
  });
});

describe('docs/protocol.md', () => {
  const page = read('docs/protocol.md');
  const messages = ['messages', 'relay-messages', 'engines/messages']
    .map((name) => read(`shared/protocol/${name}.ts`))
    .join('\n');

  it('describes each message of this protocol version, and no other', () => {
    const types = [...messages.matchAll(/type: z\.literal\('([a-z-]+)'\)/g)].map(([, type]) => type);
    expect(types.length).toBeGreaterThan(10);
    expect([...page.matchAll(/^### (.*)$/gm)].map(([, heading]) => heading).toSorted()).toEqual(types.toSorted());
    expect(page).toContain(`protocol version ${protocolVersion}.`);
  });

  it('lists each close code', () => {
    for (const code of Object.values(closeCodes)) expect(page).toMatch(new RegExp(`^\\| ${code} +\\|`, 'm'));
  });
});

describe('an invalid command line', () => {
  it.each([
    ['an unknown option', ['train', '--bacth-size', '3']],
    ['an invalid value', ['train', '--depth', '21']],
    ['an unknown choice', ['worker', 'ws://h:1', '--engine', 'abacus']],
    ['an extra argument', ['evaluate', 'a', 'b']],
    ['an unknown command', ['trian']],
    ['an unknown option of a subcommand', ['data', 'download', 'x', '--fast']],
  ])('%s', async (_, words) => expect(await errorOf(words)).toContain(words[0]));
});
