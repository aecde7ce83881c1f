// Options for workers in browsers, and for the address by which they reach the coordinator.
import type { Command } from 'commander';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import { LockstepError } from '../../shared/errors.js';
import { wholeNumberOption } from './number-options.js';

export interface JoinOptionValues {
  joinLink?: true;
  joinExpires?: number;
  joinWorkers?: number;
  organizer?: string;
  publicUrl?: string;
  allowOrigin?: string[];
}

/** Maximum number of hours until a link expires: ten years. */
const maxHours = 87_600;

export function addJoinOptions(command: Command): Command {
  return command
    .optionsGroup('Browsers:')
    .option(
      '--join-link',
      'print a link, and a QR code of it, with which anyone can join as a worker with a browser. With --engine auto the run ' +
        'then uses the wasm engine, as browsers have no other. The link of a run directory stays valid when the coordinator ' +
        'is restarted',
    )
    .addOption(
      wholeNumberOption('--join-expires <HOURS>', 'time until a new join link expires (default: 168)', 1, maxHours),
    )
    .addOption(
      wholeNumberOption(
        '--join-workers <N>',
        'maximum number of workers connected by a new join link at the same time (default: 64)',
        1,
        100_000,
      ),
    )
    .option(
      '--organizer <TEXT>',
      "for whom the run trains, as the join link's page says (default: the name of this machine or the host in the link)",
    )
    .option(
      '--public-url <URL>',
      'http:// or https:// address by which others reach the coordinator, through NAT or a proxy; it requires a token, like ' +
        'an address other than loopback',
    )
    .option(
      '--allow-origin <ORIGIN...>',
      'other sites, such as https://www.example.org, whose pages may connect workers',
    );
}

/** Throws `bad-option` if a setting of the join link is given without --join-link. */
export function readJoinOptions({
  joinLink,
  joinExpires,
  joinWorkers,
  organizer,
  publicUrl,
  allowOrigin,
}: JoinOptionValues): Pick<CoordinatorOptions, 'joinLink' | 'publicUrl' | 'allowedOrigins'> {
  const settings = { '--join-expires': joinExpires, '--join-workers': joinWorkers, '--organizer': organizer };
  const unused = Object.entries(settings).find(([, value]) => value !== undefined);
  if (joinLink === undefined && unused !== undefined) {
    throw new LockstepError('bad-option', `${unused[0]} is given without --join-link: add --join-link, or omit it`);
  }
  return {
    joinLink: joinLink && {
      expiresMs: joinExpires === undefined ? undefined : 3_600_000 * joinExpires,
      maxWorkers: joinWorkers,
      organizer,
    },
    publicUrl,
    allowedOrigins: allowOrigin,
  };
}
