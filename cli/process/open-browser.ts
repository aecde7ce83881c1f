// Opens a page or a file in the default browser, or tells the user where to open it.
import { spawn } from 'node:child_process';
import { isLoopback } from '../../coordinator/connections/http/http-access.js';
import { systemCodeOf } from '../../shared/errors.js';

export interface Desktop {
  platform: NodeJS.Platform;
  environment: NodeJS.ProcessEnv;
}

/**
 * Opens the target in the default browser. Neither throws nor waits: without a browser, the user can open the target
 * manually.
 * @param target a URL or the path of a file
 * @param onFailure receives one line: why nothing was opened, and what to do instead
 */
export function openBrowser(
  target: string,
  onFailure: (line: string) => void,
  { platform, environment }: Desktop = { platform: process.platform, environment: process.env },
): void {
  const fail = (reason: string) => onFailure(`cannot open a browser (${reason}): ${manualSteps(target, environment)}`);
  // Without this check, xdg-open would start lynx in this terminal, if it is installed.
  if (!hasDisplay({ platform, environment })) {
    return fail('this session has no display: neither DISPLAY nor WAYLAND_DISPLAY is set');
  }
  const [program, ...args] = openerOf(platform);
  const child = spawn(program, [...args, target], { stdio: 'ignore', detached: true, env: environment });
  child.on('error', (error) => fail(systemCodeOf(error) === 'ENOENT' ? `${program} is not installed` : error.message));
  child.on('exit', (status) => {
    if (status !== 0 && status !== null) fail(`${program} exited with status ${status}`);
  });
  // The browser may outlive this process.
  child.unref();
}

/**
 * Returns whether a browser can be shown: always on macOS and Windows; elsewhere if the session has an X or Wayland
 * display, or if BROWSER is set, as it may name a text browser.
 */
function hasDisplay({ platform, environment }: Desktop): boolean {
  if (platform === 'darwin' || platform === 'win32') return true;
  return ['DISPLAY', 'WAYLAND_DISPLAY', 'BROWSER'].some((name) => Boolean(environment[name]));
}

function manualSteps(target: string, environment: NodeJS.ProcessEnv): string {
  const isRemote = Boolean(environment['SSH_CONNECTION']);
  const url = URL.canParse(target) ? new URL(target) : undefined;
  if (!isRemote || url === undefined || !isLoopback(url.hostname)) return `open ${target}`;
  const { port } = url;
  return `on your own machine, run ssh -L ${port}:127.0.0.1:${port} THIS-HOST and open ${target}`;
}

function openerOf(platform: NodeJS.Platform): [string, ...string[]] {
  if (platform === 'darwin') return ['open'];
  if (platform === 'win32') return ['cmd', '/c', 'start', ''];
  return ['xdg-open'];
}
