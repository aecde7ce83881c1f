// The command line in this process, without starting another one.
import type { Command } from 'commander';
import { loadAllCommands, lockstepProgram } from '../../cli/program.js';

/** A program with the options of every command loaded. */
async function loadedProgram(): Promise<Command> {
  const program = lockstepProgram();
  await loadAllCommands(program);
  return program;
}

/** The command and all commands below it. */
function commandTree(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandTree)];
}

/** Runs a command. @returns its output, and what it threw */
export async function runProgram(...words: string[]): Promise<{ out: string; err: string; error: unknown }> {
  const result = { out: '', err: '', error: undefined as unknown };
  const program = await loadedProgram();
  for (const command of commandTree(program)) {
    command.configureOutput({
      writeOut: (text) => (result.out += text),
      writeErr: (text) => (result.err += text),
    });
  }
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    result.error = error;
  }
  return result;
}
