// Opens a page or a file in the browser that this system prefers.
import { spawn } from 'node:child_process';
import { messageOf } from '../shared/errors.js';

/** @param onTrouble told when there is nothing that opens pages here */
export function openBrowser(place: string, onTrouble: (why: string) => void): void {
  const [program, ...args] = openerOf(process.platform);
  const child = spawn(program, [...args, place], { stdio: 'ignore', detached: true });
  child.on('error', (error) => onTrouble(messageOf(error)));
  child.on('exit', (status) => {
    if (status !== 0 && status !== null) onTrouble(`${program} ended with status ${status}`);
  });
  // A browser may stay longer than the run.
  child.unref();
}

function openerOf(platform: NodeJS.Platform): [string, ...string[]] {
  if (platform === 'darwin') return ['open'];
  if (platform === 'win32') return ['cmd', '/c', 'start', ''];
  return ['xdg-open'];
}
