#!/usr/bin/env node
// Entry point of the command line: runs a command and turns errors into messages and exit statuses.
import { inspect } from 'node:util';
import { CommanderError } from 'commander';
import { setV8Flags } from './cli/process/v8-flags.js';
import { lockstepProgram, withFlagsOfAllCommands } from './cli/program.js';
import { exitStatuses, LockstepError, messageOf, type ErrorCode } from './shared/errors.js';
import { visible, visibleLines } from './shared/visible-text.js';

const unexpectedErrorStatus = 1;
const badUsageStatus = 2;
/**
 * Codes of errors whose messages may quote the other side of a connection. They are printed on a single line, so that a
 * peer cannot add lines to the output.
 */
const codesThatQuotePeers: readonly ErrorCode[] = ['refused', 'unreachable', 'protocol'];
const isDebugging = !['', '0', undefined].includes(process.env['LOCKSTEP_DEBUG']);

function printError(message: string, error: unknown): void {
  process.stderr.write(`lockstep: ${message}\n`);
  if (isDebugging) process.stderr.write(`${inspect(error)}\n`);
}

function printUnexpectedError(error: unknown): void {
  const remedy = isDebugging ? '' : ' (this is a bug in Lockstep; run again with LOCKSTEP_DEBUG=1 for a stack trace)';
  printError(`unexpected error: ${visibleLines(messageOf(error))}${remedy}`, error);
}

// stdout may close early (`lockstep summary | head`); training continues.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.on('uncaughtException', (error) => {
  printUnexpectedError(error);
  process.exit(unexpectedErrorStatus);
});

setV8Flags();
const program = lockstepProgram();
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // commander has already printed the message. --help and --version also end here, with exit code 0.
    process.exitCode = error.exitCode === 0 ? 0 : badUsageStatus;
  } else if (error instanceof LockstepError) {
    const message = await withFlagsOfAllCommands(program, error.message);
    printError(codesThatQuotePeers.includes(error.code) ? visible(message) : visibleLines(message), error);
    // A parent process, such as `lockstep train`, also receives the error as data.
    if (process.connected) process.send?.({ code: error.code, message: error.message });
    process.exitCode = exitStatuses[error.code];
  } else {
    printUnexpectedError(error);
    process.exitCode = unexpectedErrorStatus;
  }
}
