// Option names in messages: the library writes `tlsCert`, the command line prints --tls-cert.
import type { Command } from 'commander';

const flags = new Map<string, string>();
/** Maps option names of the API to camelCase flag names, where the two differ. */
const otherNames: Readonly<Record<string, string>> = {
  tensorFlowMode: 'tfMode',
  overwrite: 'force',
  allowedOrigins: 'allowOrigin',
};

/** Registers the options of a command and its subcommands for `withFlags`. */
export function registerFlags({ options, commands }: Command): void {
  for (const option of options) {
    if (option.long && !(option.negate && flags.has(option.attributeName()))) {
      flags.set(option.attributeName(), option.long);
    }
  }
  commands.forEach(registerFlags);
}

/**
 * Replaces each option name in backticks with its flag: `waitTimeoutMs` with --wait-timeout, `timeline.steps` with
 * --timeline-steps. Other text in backticks stays as it is.
 */
export function withFlags(message: string): string {
  return message.replace(/`([a-zA-Z0-9.]+)`/g, (quoted, name: string) => {
    const camelCase = name.replace(/\.(.)/g, (_, letter: string) => letter.toUpperCase());
    return flags.get(otherNames[camelCase] ?? camelCase) ?? flags.get(camelCase.replace(/Ms$/, '')) ?? quoted;
  });
}
