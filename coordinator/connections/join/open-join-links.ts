// The option for join links, and its defaults.
import { LockstepError } from '../../../shared/errors.js';
import { JoinLinks } from './join-links.js';

const defaultExpiresMs = 7 * 24 * 3_600_000;
const defaultMaxWorkers = 64;
/** Limits of the options, which keep a link's token short. */
const [maxExpiresMs, maxMaxWorkers] = [10 * 365 * 24 * 3_600_000, 100_000];

/** Options for the link with which browsers join a run. */
export interface JoinLinkOptions {
  /** Time until a new link expires, in milliseconds; one week by default. */
  expiresMs?: number | undefined;
  /** Maximum number of workers that may be connected by a new link at the same time; 64 by default. */
  maxWorkers?: number | undefined;
  /**
   * For whom the run trains, as the link's page says; by default, the name of this machine or, if others can reach the
   * coordinator, the host in the link.
   */
  organizer?: string | undefined;
}

/** Returns the join links of a run directory. Throws `bad-option`, and the errors of JoinLinks. */
export function openJoinLinks(
  option: JoinLinkOptions | boolean | undefined,
  runDirectory: string,
): JoinLinks | undefined {
  if (option === undefined || option === false) return undefined;
  const { expiresMs = defaultExpiresMs, maxWorkers = defaultMaxWorkers } = option === true ? {} : option;
  if (!(expiresMs > 0 && expiresMs <= maxExpiresMs)) {
    throw new LockstepError(
      'bad-option',
      `\`joinLink.expiresMs\` is ${expiresMs}: it must be positive and at most ${maxExpiresMs} (10 years)`,
    );
  }
  if (!(Number.isInteger(maxWorkers) && maxWorkers >= 1 && maxWorkers <= maxMaxWorkers)) {
    throw new LockstepError(
      'bad-option',
      `\`joinLink.maxWorkers\` is ${maxWorkers}: it must be a whole number from 1 to ${maxMaxWorkers}`,
    );
  }
  return new JoinLinks(runDirectory, { expiresMs, maxWorkers });
}
