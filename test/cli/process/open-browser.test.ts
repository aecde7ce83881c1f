// --open: opens a browser if there is a display, and otherwise prints one line of instructions.
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openBrowser } from '../../../cli/process/open-browser.js';
import { writeCifar10 } from '../../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../../shared/dataset/synthesize.js';
import { startCli } from '../../support/cli.js';
import { folderPerFile } from '../../support/folder-per-file.js';

const inFolder = folderPerFile();
const url = 'http://127.0.0.1:7350';

/** Creates a folder for PATH in which xdg-open is this script. */
async function folderWithOpener(name: string, script: string): Promise<string> {
  const folder = inFolder(name);
  await mkdir(folder);
  await writeFile(path.join(folder, 'xdg-open'), `#!/bin/sh\n${script}\n`);
  await chmod(path.join(folder, 'xdg-open'), 0o755);
  return folder;
}

/** Tries to open a browser and returns the line that reports the failure. */
const failureOf = (target: string, environment: NodeJS.ProcessEnv) =>
  new Promise<string>((resolve) => openBrowser(target, resolve, { platform: 'linux', environment }));

describe('openBrowser', () => {
  it('passes the URL to xdg-open', async () => {
    const seen = inFolder('seen');
    const folder = await folderWithOpener('works', `echo "$@" > ${seen}; exit 3`);
    // xdg-open has exited by the time its failure is reported.
    await failureOf(url, { PATH: folder, DISPLAY: ':0' });
    expect(await readFile(seen, 'utf8')).toBe(`${url}\n`);
  });

  it.each([['DISPLAY'], ['WAYLAND_DISPLAY'], ['BROWSER']])('starts xdg-open if %s is set', async (name) => {
    expect(await failureOf(url, { PATH: inFolder('nothing'), [name]: 'x' })).toBe(
      `cannot open a browser (xdg-open is not installed): open ${url}`,
    );
  });

  it('reports the exit status of xdg-open', async () => {
    const folder = await folderWithOpener('fails', 'exit 4');
    expect(await failureOf(url, { PATH: folder, DISPLAY: ':0' })).toBe(
      `cannot open a browser (xdg-open exited with status 4): open ${url}`,
    );
  });

  const noDisplay = 'cannot open a browser (this session has no display: neither DISPLAY nor WAYLAND_DISPLAY is set): ';

  it('does not start xdg-open without a display', async () => {
    const folder = await folderWithOpener('unasked', 'exit 5');
    expect(await failureOf(url, { PATH: folder, DISPLAY: '' })).toBe(`${noDisplay}open ${url}`);
  });

  it.each([
    [url, `on your own machine, run ssh -L 7350:127.0.0.1:7350 THIS-HOST and open ${url}`],
    // This address is reachable without a tunnel.
    ['http://10.0.0.5:7350', 'open http://10.0.0.5:7350'],
    ['/runs/plot.html', 'open /runs/plot.html'],
  ])('explains over SSH how to open %s', async (target, how) => {
    expect(await failureOf(target, { SSH_CONNECTION: '10.0.0.1 50000 10.0.0.5 22' })).toBe(noDisplay + how);
  });
});

describe('--open', { timeout: 60_000 }, () => {
  beforeAll(() => writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 300, testImages: 50 })));

  it.each([
    [
      'a line of text',
      [],
      /^cannot open a browser \(this session has no display.*\): open http:\/\/127\.0\.0\.1:\d+$/m,
    ],
    ['a line of JSON', ['--json'], /^\{"type":"event",.*"event":"no-browser","detail":"cannot open a browser /m],
  ])('without a display prints %s, and the run continues', async (_, options, line) => {
    const environment = { DISPLAY: '', WAYLAND_DISPLAY: '', BROWSER: '', SSH_CONNECTION: '' };
    const places = ['--data', inFolder('images'), '--run-dir', inFolder(`run${options.join('')}`)];
    const coordinator = startCli(['coordinator', '--port', '0', '--open', ...places, ...options], environment);
    await coordinator.says(line);
    coordinator.child.kill('SIGINT');
    expect(await coordinator.exited).toBe(130);
  });
});
