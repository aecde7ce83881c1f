// Compiles the example of an embedded worker against the package, and opens its page in browsers as a user would.
import { copyFileSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { startCoordinator } from '../../coordinator/main.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { startWorker } from '../../worker/main.js';
import { browserNames, openBrowserOrReason, type TestBrowser } from '../support/browsers.js';
import { printIfFailed } from '../support/failed-tab.js';
import { startCommand } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { projectWithPackage } from '../support/installed-package.js';
import { smallRun } from '../support/local-cluster.js';

const folder = fileURLToPath(new URL('../../examples/', import.meta.url));
const { inProject, compile } = projectWithPackage();

it.for(browserNames)(
  'a tab of %s, on a site of its own, computes the bits of a Node worker',
  async (name, { skip }) => {
    const opened = await openBrowserOrReason(name, 'the embedded worker');
    skip(typeof opened === 'string');
    const browser = opened as TestBrowser;
    onTestFinished(() => browser.close());
    const program = readFileSync(`${folder}embed-worker.ts`, 'utf8');
    expect(compile({ 'embed-worker': program }, '--types', 'node')).toBe('');
    const port = await freePort();
    const site = `http://127.0.0.1:${port}`;
    const dataset = synthesizeDataset({ trainingImages: 400, testImages: 300 });
    const startRun = (runDir: string) =>
      startCoordinator({
        ...smallRun,
        port: 0,
        dataset,
        runDir: inProject(runDir),
        joinLink: true,
        allowedOrigins: [site],
      });
    const coordinator = await startRun(`embedded-in-${name}`);
    copyFileSync(`${folder}embed-worker.html`, inProject('embed-worker.html'));
    const server = startCommand([process.execPath, inProject('embed-worker.js'), coordinator.joinLink()!.url], {
      PORT: String(port),
    });
    onTestFinished(() => void server.child.kill());
    await server.says(`open ${site}/`);

    const tab = await browser.openTab();
    printIfFailed(name, tab);
    await tab.goto(site);
    expect(await tab.evaluate('crossOriginIsolated')).toBe(true);
    await tab.click('#start');
    const report = await coordinator.report;
    await tab.waitForText('done: the run has ended');
    expect(tab.problems).toEqual([]);

    const reference = await startRun(`reference-of-${name}`);
    await startWorker({ url: reference.url, engine: 'wasm', cache: null });
    const { weightsSha256 } = await reference.report;
    expect(report).toMatchObject({ weightsSha256, exact: true });
  },
);
