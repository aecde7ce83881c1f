#!/usr/bin/env node
// The command line: runs a command, and turns errors into messages and exit statuses.
import { inspect } from 'node:util';
import { CommanderError } from 'commander';
import { setV8Flags } from './cli/process/v8-flags.js';
import { lockstepProgram } from './cli/program.js';
import { LockstepError, messageOf, type ErrorCode } from './shared/errors.js';
import { visible, visibleLines } from './shared/visible-text.js';

const failed = 1;
const badUse = 2;
const waitedInVain = 3;
const interrupted = 130;

function exitStatusOf(code: ErrorCode): number {
  switch (code) {
    case 'bad-option':
    case 'bad-config':
    case 'bad-data':
    case 'no-checkpoint':
      return badUse;
    case 'interrupted':
      return interrupted;
    case 'no-engine':
    case 'not-built':
    case 'port-in-use':
    case 'bad-address':
    case 'protocol':
    case 'refused':
    case 'unreachable':
    case 'bad-checkpoint':
    case 'download-failed':
    case 'setup-failed':
    case 'engine-failed':
    case 'diverged':
    case 'workers-failed':
    case 'save-failed':
    case 'stuck':
    case 'bits-differ':
      return failed;
    case 'no-workers':
      return waitedInVain;
    case 'already-finished':
      return 0;
    default:
      return code satisfies never;
  }
}

/** Whether errors are shown with where they come from. */
const isDebugging = !['', '0', undefined].includes(process.env['LOCKSTEP_DEBUG']);

/** What nobody has foreseen is a mistake of this program's own; its place is shown to who asks for it. */
function tellUnforeseen(error: unknown): void {
  const remedy = isDebugging ? '' : ' (a mistake in lockstep: LOCKSTEP_DEBUG=1 shows where)';
  process.stderr.write(`lockstep: unexpected error: ${visibleLines(messageOf(error))}${remedy}\n`);
  if (isDebugging) process.stderr.write(`${inspect(error)}\n`);
}

// Whoever reads the output may have read enough: `lockstep summary | head`. A run goes on, its files tell of it.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.on('uncaughtException', (error) => {
  tellUnforeseen(error);
  process.exit(failed);
});

setV8Flags();
try {
  await lockstepProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // commander has printed the message already; --help and --version come this way too.
    process.exitCode = error.exitCode === 0 ? 0 : badUse;
  } else if (error instanceof LockstepError) {
    // Words of the other side stay in one line.
    const isOfOthers = ['refused', 'unreachable', 'protocol'].includes(error.code);
    process.stderr.write(`lockstep: ${isOfOthers ? visible(error.message) : visibleLines(error.message)}\n`);
    if (isDebugging) process.stderr.write(`${inspect(error)}\n`);
    // Where `lockstep train` started this process it learns the reason as data.
    if (process.connected) process.send?.({ code: error.code, message: error.message });
    process.exitCode = exitStatusOf(error.code);
  } else {
    tellUnforeseen(error);
    process.exitCode = failed;
  }
}
