// --open: what opens a page where there is a screen, and the one line that says what to do where there is none.
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

/** A folder for PATH whose xdg-open does this. */
async function withOpener(name: string, script: string): Promise<string> {
  const folder = inFolder(name);
  await mkdir(folder);
  await writeFile(path.join(folder, 'xdg-open'), `#!/bin/sh\n${script}\n`);
  await chmod(path.join(folder, 'xdg-open'), 0o755);
  return folder;
}

/** What is told of an attempt that does not come to anything. */
const told = (place: string, environment: NodeJS.ProcessEnv) =>
  new Promise<string>((resolve) => openBrowser(place, resolve, { platform: 'linux', environment }));

describe('opening a page', () => {
  it('gives its address to what this system opens pages with', async () => {
    const seen = inFolder('seen');
    const folder = await withOpener('works', `echo "$@" > ${seen}; exit 3`);
    // It says so once it has ended: with a status, to be heard of.
    await told(url, { PATH: folder, DISPLAY: ':0' });
    expect(await readFile(seen, 'utf8')).toBe(`${url}\n`);
  });

  it.each([['DISPLAY'], ['WAYLAND_DISPLAY'], ['BROWSER']])('is tried where there is a %s', async (name) => {
    expect(await told(url, { PATH: inFolder('nothing'), [name]: 'x' })).toBe(
      `no browser was opened (xdg-open is not installed here): open ${url}`,
    );
  });

  it('that fails says how', async () => {
    const folder = await withOpener('fails', 'exit 4');
    expect(await told(url, { PATH: folder, DISPLAY: ':0' })).toBe(
      `no browser was opened (xdg-open ended with status 4): open ${url}`,
    );
  });

  const noScreen = 'no browser was opened (this session has no screen: neither DISPLAY nor WAYLAND_DISPLAY is set): ';

  it('is not tried without a screen', async () => {
    const folder = await withOpener('unasked', 'exit 5');
    expect(await told(url, { PATH: folder, DISPLAY: '' })).toBe(`${noScreen}open ${url}`);
  });

  it.each([
    [url, `where you sit, run ssh -L 7350:127.0.0.1:7350 THIS-MACHINE, and open ${url} there`],
    // Reached from elsewhere as it is.
    ['http://10.0.0.5:7350', 'open http://10.0.0.5:7350'],
    ['/runs/plot.html', 'open /runs/plot.html'],
  ])('over SSH says how to see %s', async (place, how) => {
    expect(await told(place, { SSH_CONNECTION: '10.0.0.1 50000 10.0.0.5 22' })).toBe(noScreen + how);
  });
});

describe('--open', { timeout: 60_000 }, () => {
  beforeAll(() => writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 300, testImages: 50 })));

  it.each([
    ['a line', [], /^no browser was opened \(this session has no screen.*\): open http:\/\/127\.0\.0\.1:\d+$/m],
    ['a line of JSON', ['--json'], /^\{"type":"event",.*"event":"no-browser","detail":"no browser was opened /m],
  ])('without a screen is %s, and the run goes on', async (_, options, line) => {
    const environment = { DISPLAY: '', WAYLAND_DISPLAY: '', BROWSER: '', SSH_CONNECTION: '' };
    const places = ['--data', inFolder('images'), '--run-dir', inFolder(`run${options.join('')}`)];
    const coordinator = startCli(['coordinator', '--port', '0', '--open', ...places, ...options], environment);
    await coordinator.says(line);
    coordinator.child.kill('SIGINT');
    expect(await coordinator.exited).toBe(130);
  });
});
