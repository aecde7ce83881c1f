// Opens a page or a file in the browser that this system prefers, or says where to open it instead.
import { spawn } from 'node:child_process';
import { isLoopback } from '../../coordinator/connections/http-access.js';
import { systemCodeOf } from '../../shared/errors.js';

export interface Surroundings {
  platform: NodeJS.Platform;
  environment: NodeJS.ProcessEnv;
}

/**
 * Never fails and never waits: without a browser the one who asked opens the place by hand.
 * @param place a URL, or a file's path
 * @param tell told in one line why nothing was opened, and what to do
 */
export function openBrowser(
  place: string,
  tell: (line: string) => void,
  { platform, environment }: Surroundings = { platform: process.platform, environment: process.env },
): void {
  const sayWhyNot = (why: string) => tell(`no browser was opened (${why}): ${byHand(place, environment)}`);
  // xdg-open would take over the terminal with lynx, where that is installed.
  if (!hasScreen({ platform, environment })) {
    return sayWhyNot('this session has no screen: neither DISPLAY nor WAYLAND_DISPLAY is set');
  }
  const [program, ...args] = openerOf(platform);
  const child = spawn(program, [...args, place], { stdio: 'ignore', detached: true, env: environment });
  child.on('error', (error) =>
    sayWhyNot(systemCodeOf(error) === 'ENOENT' ? `${program} is not installed here` : error.message),
  );
  child.on('exit', (status) => {
    if (status !== 0 && status !== null) sayWhyNot(`${program} ended with status ${status}`);
  });
  // A browser may stay longer than the run.
  child.unref();
}

/** Only where X or Wayland draw does it depend on the session; who names a BROWSER knows what they do. */
function hasScreen({ platform, environment }: Surroundings): boolean {
  if (platform === 'darwin' || platform === 'win32') return true;
  return ['DISPLAY', 'WAYLAND_DISPLAY', 'BROWSER'].some((name) => Boolean(environment[name]));
}

function byHand(place: string, environment: NodeJS.ProcessEnv): string {
  const isFar = Boolean(environment['SSH_CONNECTION']);
  const url = URL.canParse(place) ? new URL(place) : undefined;
  if (!isFar || url === undefined || !isLoopback(url.hostname)) return `open ${place}`;
  const { port } = url;
  return `where you sit, run ssh -L ${port}:127.0.0.1:${port} THIS-MACHINE, and open ${place} there`;
}

function openerOf(platform: NodeJS.Platform): [string, ...string[]] {
  if (platform === 'darwin') return ['open'];
  if (platform === 'win32') return ['cmd', '/c', 'start', ''];
  return ['xdg-open'];
}
