// Prometheus and promtool for tests of /metrics. On Debian: `apt-get install prometheus`.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { sayWhySkipped } from './why-skipped.js';

/** Returns whether a program is installed. If it is not, prints why tests are skipped. */
export function hasProgram(name: 'promtool' | 'prometheus', what: string): boolean {
  const { status } = spawnSync(name, ['--version']);
  if (status !== 0) sayWhySkipped(what, `${name} is not installed: apt-get install prometheus`);
  return status === 0;
}

/** Runs promtool with the text as input. @returns the problems found; empty if there are none */
export function promtool(args: readonly string[], input: string): string {
  const { stdout, stderr, status } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return status === 0 ? stderr : `${stdout}${stderr}`;
}

export interface Prometheus {
  url: string;
  stop(): Promise<void>;
}

/**
 * Starts a Prometheus that scrapes the given addresses and evaluates the rules every second. It writes only to the
 * given folder.
 */
export async function startPrometheus(targets: readonly string[], rules: string, folder: string): Promise<Prometheus> {
  const config = path.join(folder, 'prometheus.yml');
  await writeFile(path.join(folder, 'rules.yml'), rules);
  // YAML is a superset of JSON.
  const content = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: ['rules.yml'],
    scrape_configs: [{ job_name: 'lockstep', static_configs: [{ targets }] }],
  };
  await writeFile(config, JSON.stringify(content));
  const child = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${path.join(folder, 'series')}`,
      '--web.listen-address=127.0.0.1:0',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const exited = once(child, 'close');
  let log = '';
  const address = await new Promise<string>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      // Prometheus writes the two lines in either order.
      const match = /Listening on" address=(\S+)/.exec(log);
      if (match !== null && log.includes('Server is ready')) resolve(match[1]);
    });
    void exited.then(() => reject(new Error(`Prometheus ended:\n${log}`)));
  });
  return {
    url: `http://${address}`,
    async stop() {
      child.kill();
      await exited;
    },
  };
}
