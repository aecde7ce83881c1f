// Options whose values are numbers, checked while the command line is parsed.
import { Option } from 'commander';
import { LockstepError } from '../../shared/errors.js';

/**
 * Creates an option for a whole number. Parsing throws `bad-option` with the flag and the allowed range.
 * @param flags for example `--port <PORT>`
 */
export function wholeNumberOption(
  flags: string,
  description: string,
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): Option {
  const allowed = maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
  return numberOption(
    flags,
    description,
    (value) => Number.isSafeInteger(value) && value >= minimum && value <= maximum,
    `a whole number ${allowed}`,
  );
}

export function numberOption(
  flags: string,
  description: string,
  isAllowed: (value: number) => boolean,
  allowed: string,
): Option {
  const option = new Option(flags, description);
  return option.argParser((text) => {
    const value = numberOrText(text);
    if (typeof value === 'number' && isAllowed(value)) return value;
    throw new LockstepError('bad-option', `${option.long} is ${JSON.stringify(text)}: it must be ${allowed}`);
  });
}

export function numberOrText(text: string): number | string {
  const number = Number(text);
  return text.trim() === '' || Number.isNaN(number) ? text : number;
}

export function workersOption(description: string, maximum = 4096): Option {
  return wholeNumberOption('--workers <N>', description, 1, maximum);
}

export function portOption(description: string): Option {
  return wholeNumberOption('--port <PORT>', description, 0, 65_535);
}
