// Runs the command line in the current process.
import type { Command } from 'commander';
import { loadAllCommands, lockstepProgram } from '../../cli/program.js';

/** Returns the program, with the options of every command loaded. */
export async function loadedProgram(): Promise<Command> {
  const program = lockstepProgram();
  await loadAllCommands(program);
  return program;
}

/** Returns the command and all of its subcommands. */
export function commandTree(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandTree)];
}

/** Runs a command. @returns the output and the error thrown, if any */
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
