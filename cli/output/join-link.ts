// Prints a run's join link, with a QR code that phones can scan from the terminal.
import { renderUnicodeCompact } from 'uqr';
import { listensOnAll } from '../../coordinator/connections/join/link-address.js';
import type { Coordinator } from '../../coordinator/main.js';
import { browserEngine } from '../../shared/engine-names.js';
import type { JoinLinkView } from '../../shared/monitoring/join.js';

/** Returns the lines that tell how browsers join a run. */
export function describeJoinLink(link: NonNullable<JoinLinkView>, run: Coordinator): string[] {
  const expires = new Date(link.expires).toLocaleString('en-US', { dateStyle: 'medium', timeStyle: 'short' });
  return [
    `join link: ${link.url}`,
    `  anyone who has it can compute for this run with a browser: up to ${link.maxWorkers} at a time, until ${expires}`,
    ...notesOn(run).map((note) => `  ${note}`),
    // Full blocks are the light squares, as terminals are usually dark.
    ...renderUnicodeCompact(link.url, { border: 2 }).split('\n'),
  ];
}

function notesOn({ config, host, publicUrl }: Coordinator): string[] {
  const { engine } = config;
  return [
    ...(engine === browserEngine ? [`engine: ${engine}, because browsers have no other`] : []),
    ...(engine === browserEngine || engine === 'auto'
      ? []
      : [`no browser can join: the run uses the ${engine} engine, and browsers have only ${browserEngine}`]),
    ...(listensOnAll(host) && publicUrl === undefined
      ? ['the link has the address of this machine in its network; --public-url sets another']
      : []),
  ];
}
