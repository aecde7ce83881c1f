// Writes the tables of docs/options.md and docs/commands.md into docs/generated/, from the built package: the
// configuration table in shared/config and the commands' own definitions, which --help prints.
import { mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { loadAllCommands, lockstepProgram } from '../dist/cli/program.js';
import { configFields, recipeFields } from '../dist/shared/config/config-fields.js';
import { kebabCase } from '../dist/shared/config/config.js';
import { recipeNames, recipePresets } from '../dist/shared/config/recipe-presets.js';

const folder = new URL('generated/', import.meta.url);

const code = (text) => `\`${text}\``;
/** Escapes plain text for a table cell. */
const escape = (text) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('{', '&#123;');
const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** @param {unknown} value */
const describeValue = (value) => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');

function configTable(isMeant) {
  const rows = Object.entries(configFields)
    .filter(([key]) => isMeant(key))
    .map(([key, { help, default: fallback, allowed, placeholder }]) => {
      const flag = kebabCase(key);
      const isSwitch = typeof fallback === 'boolean';
      const option = isSwitch ? `${code(`--${flag}`)}, ${code(`--no-${flag}`)}` : code(`--${flag} ${placeholder}`);
      const value = isSwitch
        ? fallback
          ? 'on'
          : 'off'
        : Array.isArray(fallback)
          ? fallback.join(',')
          : describeValue(fallback);
      const shown = value === '' ? '' : code(value);
      return [option, code(key), shown, isSwitch ? 'true or false' : escape(allowed), escape(capitalized(help))];
    });
  return table(['Option', 'Key', 'Default', 'Allowed values', 'Description'], rows);
}

/**
 * Returns a table of the options that each recipe sets for ResNet-20, and those that it additionally sets for networks
 * with 110 or more layers.
 */
function recipeTable() {
  const settings = (name, depth) =>
    Object.entries(recipePresets[name]({ depth })).map(([key, value]) => code(`${key}=${String(value)}`));
  const rows = recipeNames.map((name) => {
    const usual = settings(name, 20);
    const more = settings(name, 110).filter((setting) => !usual.includes(setting));
    const deep = more.length === 0 ? '' : `, and from 110 layers also ${more.join(', ')}`;
    return [code(name), `${usual.length === 0 ? 'the defaults' : usual.join(', ')}${deep}`];
  });
  return table(['Recipe', 'Sets'], rows);
}

function describeOption({ description, defaultValue, argChoices, envVar, mandatory }) {
  const notes = [
    ...(mandatory ? ['required'] : []),
    ...(argChoices === undefined ? [] : [`one of ${argChoices.map(code).join(', ')}`]),
    ...(defaultValue === undefined || defaultValue === false
      ? []
      : [`default ${code(String(defaultValue).replace(homedir(), '~'))}`]),
    ...(envVar === undefined ? [] : [`from the environment: ${code(envVar)}`]),
  ];
  return `${escape(capitalized(description))}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`;
}

const configFlags = new Set(
  Object.keys(configFields).flatMap((key) => [`--${kebabCase(key)}`, `--no-${kebabCase(key)}`]),
);

function describeCommand(command, parents) {
  const name = [...parents, command.name()].join(' ');
  if (command.commands.length > 0)
    return command.commands.flatMap((each) => describeCommand(each, [...parents, command.name()]));
  const lines = [
    `### ${name}`,
    '',
    escape(capitalized(command.description())).replace(/\.?$/, '.'),
    '',
    '```text',
    `lockstep ${name} ${command.usage()}`,
    '```',
    '',
  ];
  const args = command.registeredArguments.filter(({ description }) => description !== '');
  if (args.length > 0) {
    lines.push(
      table(
        ['Argument', 'Description'],
        args.map((each) => [code(each.name()), describeOption({ ...each, argChoices: undefined })]),
      ),
      '',
    );
  }
  const own = command.options.filter(({ long, hidden }) => !hidden && !configFlags.has(long));
  const ofConfig = command.options.filter(({ long }) => configFlags.has(long));
  // A command that accepts only a few training options lists them among its own options.
  const takesAll = ofConfig.length > 20;
  const shown = takesAll ? own : command.options.filter(({ hidden }) => !hidden);
  if (shown.length > 0)
    lines.push(
      table(
        ['Option', 'Description'],
        shown.map((each) => [code(each.flags), describeOption(each)]),
      ),
      '',
    );
  if (takesAll) lines.push('It also takes every [training option](options.md).', '');
  return lines;
}

/** Lists the commands under their --help headings. */
async function commandPage() {
  const program = lockstepProgram();
  await loadAllCommands(program);
  const lines = [];
  for (const [group, commands] of groupByHeading(program.commands)) {
    if (commands.every((command) => command.name() === 'help')) continue;
    lines.push(`## ${group.replace(/:$/, '')}`, '', ...commands.flatMap((command) => describeCommand(command, [])));
  }
  return lines.join('\n');
}

/** Replaces Map.groupBy, which does not exist in Node 20. */
function groupByHeading(commands) {
  const groups = new Map();
  for (const command of commands) {
    const group = command.helpGroup();
    groups.set(group, [...(groups.get(group) ?? []), command]);
  }
  return groups;
}

mkdirSync(folder, { recursive: true });
const pages = {
  'recipe-options.md': configTable((key) => key in recipeFields),
  'run-options.md': configTable((key) => !(key in recipeFields)),
  'recipes.md': recipeTable(),
  'commands.md': await commandPage(),
};
for (const [name, text] of Object.entries(pages)) writeFileSync(new URL(name, folder), `${text}\n`);
