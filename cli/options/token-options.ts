// --token, --token-file and LOCKSTEP_TOKEN: where a command takes its token from. A token given as an argument is taken
// out of the process list, which every user of the machine can read; better is not to put it there.
import { Option, type Command } from 'commander';
import { readTokenFile } from '../../coordinator/connections/token-file.js';
import { onlyTokenIn } from '../../coordinator/connections/tokens.js';
import { LockstepError } from '../../shared/errors.js';

export function tokenOption(help: string): Option {
  return new Option('--token <TOKEN>', help).env('LOCKSTEP_TOKEN');
}

export function tokenFileOption(help: string): Option {
  return new Option('--token-file <FILE>', `${help}; wins over LOCKSTEP_TOKEN`);
}

/** What a coordinator is given, as startCoordinator's options. Throws `bad-option` for both flags at once. */
export function coordinatorTokens(command: Command): {
  token?: string | undefined;
  tokenFile?: string | undefined;
} {
  const { token, tokenFile } = readOptions(command);
  return tokenFile === undefined ? { token } : { tokenFile };
}

/** The token that a worker shows. Throws `bad-option` for both flags at once, or a file that does not hold one token. */
export function workerToken(command: Command): string | undefined {
  const { token, tokenFile } = readOptions(command);
  return tokenFile === undefined ? token : onlyTokenIn(readTokenFile(tokenFile), tokenFile);
}

function readOptions(command: Command): { token: string | undefined; tokenFile: string | undefined } {
  const { token, tokenFile, quiet } = command.opts<{ token?: string; tokenFile?: string; quiet?: boolean }>();
  if (command.getOptionValueSource('token') === 'cli') {
    if (tokenFile !== undefined) {
      throw new LockstepError('bad-option', `--token and --token-file ${tokenFile} are both given: give one of them`);
    }
    // Node writes a title over the memory in which the arguments lie.
    process.title = `lockstep ${command.name()}`;
    if (quiet !== true) {
      process.stderr.write(
        'lockstep: warning: --token was in the process list, which others on this machine can read, until this program had ' +
          'started: give it with LOCKSTEP_TOKEN or --token-file\n',
      );
    }
  }
  return { token, tokenFile };
}
