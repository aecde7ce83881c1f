// Debian's Prometheus for tests of /metrics, or why there is none: `apt-get install prometheus` brings it with promtool.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { sayWhySkipped } from './why-skipped.js';

/** Whether a program of Prometheus's is here; says why what is skipped without it. */
export function hasProgram(name: 'promtool' | 'prometheus', what: string): boolean {
  const { status } = spawnSync(name, ['--version']);
  if (status !== 0) sayWhySkipped(what, `there is no ${name}: apt-get install prometheus`);
  return status === 0;
}

/** Gives promtool a text. @returns what it complains of; empty for nothing */
export function promtool(args: readonly string[], input: string): string {
  const { stdout, stderr, status } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return status === 0 ? stderr : `${stdout}${stderr}`;
}

export interface Prometheus {
  url: string;
  stop(): Promise<void>;
}

/**
 * A Prometheus that asks these addresses every second, and itself about the rules. Everything that it writes is in the
 * folder.
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
  const said = { text: '' };
  const address = await new Promise<string>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said.text += text;
      const match = /Listening on" address=(\S+)[\s\S]*Server is ready/.exec(said.text);
      if (match !== null) resolve(match[1]);
    });
    void exited.then(() => reject(new Error(`Prometheus ended:\n${said.text}`)));
  });
  return {
    url: `http://${address}`,
    async stop() {
      child.kill();
      await exited;
    },
  };
}
