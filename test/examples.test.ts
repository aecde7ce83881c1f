// Compiles the programs in examples/ against the package and runs them as a user would.
import { spawnSync } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startCoordinator } from '../coordinator/main.js';
import { synthesizeDataset } from '../shared/dataset/synthesize.js';
import { startWorker } from '../worker/main.js';
import { browserNames, openBrowserOrReason, type TestBrowser } from './support/browsers.js';
import { startCommand } from './support/cli.js';
import { freePort } from './support/free-port.js';
import { projectWithPackage } from './support/installed-package.js';
import { smallRun } from './support/local-cluster.js';

const folder = fileURLToPath(new URL('../examples/', import.meta.url));
const names = readdirSync(folder).flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -'.ts'.length)] : []));
const { inProject, compile } = projectWithPackage();

/** Runs a compiled example and returns its standard output. */
function run(name: string, ...args: string[]): string {
  const ran = spawnSync(process.execPath, [`${name}.js`, ...args], { cwd: inProject(), encoding: 'utf8' });
  expect(ran.stderr).toBe('');
  expect(ran.status).toBe(0);
  return ran.stdout;
}

describe('the examples', () => {
  it('compile with strict options', () => {
    const programs = names.map((name) => [name, readFileSync(`${folder}${name}.ts`, 'utf8')]);
    expect(names).toEqual(['custom-engine', 'embed-worker', 'follow-events', 'predict', 'train']);
    expect(compile(Object.fromEntries(programs))).toBe('');
  });

  it('train a model, and classify an image with its checkpoint', async () => {
    const trained = run('train');
    // 1,000 images, 10% of them for validation: 9 steps of 100 images per epoch, for 2 epochs.
    expect(trained).toMatch(/^18 steps; test loss \d/);
    expect(trained).toMatch(/weights: [0-9a-f]{64}\n/);
    const runDirectory = /report\.json: (.+)\n/.exec(trained)![1];
    await sharp({ create: { width: 40, height: 32, channels: 3, background: 'gray' } }).toFile(inProject('gray.png'));
    const predicted = run('predict', runDirectory, 'gray.png');
    expect(predicted).toMatch(/^resnet8 after 18 steps, \d+ weights\ngray\.png: (?:[a-z ]+ [\d.]+%(?:, )?){3}\n$/);
  });

  it('follow the events of a run', () => {
    const followed = run('follow-events');
    expect(followed.match(/joined, computing on/g)).toHaveLength(2);
    expect(followed).toMatch(/^epoch 2: validation accuracy [\d.]+$/m);
    expect(followed).toMatch(/^checkpoint after step 18: runs\/.+$/m);
    expect(followed).toMatch(/^training loss: [\d.]+ in the first step, [\d.]+ in the last$/m);
  });

  it('train with a custom engine to a test accuracy above 50%', () => {
    const [, accuracy, exact] = /test accuracy ([\d.]+), .* exact: (\w+)/.exec(run('custom-engine'))!;
    expect(Number(accuracy)).toBeGreaterThan(0.5);
    expect(exact).toBe('true');
  });

  it.for(browserNames)(
    'make a tab of %s, on a site of its own, compute the bits of a Node worker',
    async (name, { skip }) => {
      const opened = await openBrowserOrReason(name, 'the embedded worker');
      skip(typeof opened === 'string');
      const browser = opened as TestBrowser;
      onTestFinished(() => browser.close());
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
      const program = startCommand([process.execPath, inProject('embed-worker.js'), coordinator.joinLink()!.url], {
        PORT: String(port),
      });
      onTestFinished(() => void program.child.kill());
      await program.says(`open ${site}/`);

      const tab = await browser.openTab();
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
});
