// Where Lockstep keeps what it can obtain again: shards, measured speeds and imported images.
import { homedir } from 'node:os';
import path from 'node:path';

/** Returns `lockstep` in `$XDG_CACHE_HOME` or, if that variable is not set or is empty, in `~/.cache`. */
export function cacheFolder(): string {
  return path.join(process.env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache'), 'lockstep');
}
