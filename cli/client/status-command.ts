// The arguments, options and action that `status` and `workers` have in common.
import type { Command } from 'commander';
import type { RunStatus } from '../../shared/monitoring/run-status.js';
import { addClientAccessOptions, readCredentials } from '../options/access-options.js';
import { fetchStatus, httpUrlOf } from './fetch-status.js';

export function addStatusCommand(command: Command, describe: (status: RunStatus) => string[]): void {
  command
    .argument('<URL>', 'URL of the coordinator: http://HOST:PORT, or the URL that its workers use')
    .option('--json', 'print the complete status as JSON');
  addClientAccessOptions(command).action(async (url: string, { json }: { json?: true }) => {
    const { status, text } = await fetchStatus(url, readCredentials(command, httpUrlOf(url).origin));
    const lines = json ? [JSON.stringify(JSON.parse(text), null, 2)] : describe(status);
    process.stdout.write(`${lines.join('\n')}\n`);
  });
}
