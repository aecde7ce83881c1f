// Checks /metrics with promtool and a real Prometheus, and checks that the Grafana dashboard queries only metrics that
// exist.
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { folderPerFile } from '../support/folder-per-file.js';
import { startCluster, type Cluster } from '../support/local-cluster.js';
import { hasProgram, promtool, startPrometheus, type Prometheus } from '../support/prometheus.js';

const inFolder = folderPerFile();
const hasPromtool = hasProgram('promtool', 'checks of metrics and expressions by promtool');
const hasPrometheus = hasProgram('prometheus', 'a Prometheus that scrapes a run');

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ minWorkers: 2, slices: 2, steps: 100_000, checkpointEvery: 5, keepCheckpoints: 1 });
  const validated = once(cluster.coordinator.events, 'checkpoint');
  await cluster.join({ name: 'attic' });
  await cluster.join({ name: 'cellar "quoted"' });
  await validated;
});
afterAll(() => cluster.close());

const hostOf = ({ coordinator }: Cluster) => `127.0.0.1:${coordinator.port}`;

async function scrape(): Promise<string> {
  const response = await fetch(`http://${hostOf(cluster)}/metrics`);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return response.text();
}

/** Returns the value of a series, given by name and labels. */
function valueOf(metrics: string, series: string): number {
  const line = metrics.split('\n').find((text) => text.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1));
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

describe('a request for /metrics', () => {
  const viewer = '5b9d1c7e3f024a86aa55';
  const worker = 'c2d5a1f09b7e4d38a1b2';

  it('on loopback needs no token, but a token must be known', async () => {
    const token = '0f5e6d7c8b9a41526374';
    const alone = await startCluster({ token });
    onTestFinished(() => alone.close());
    const url = `http://${hostOf(alone)}/metrics`;
    expect((await fetch(url)).status).toBe(200);
    expect((await fetch(url, { headers: bearer(token) })).status).toBe(200);
    expect((await fetch(url, { headers: bearer('guessed') })).status).toBe(401);
  });

  it('on other addresses needs a token that allows reading', async () => {
    const tokenFile = inFolder('tokens');
    await writeFile(tokenFile, `wall viewer ${viewer}\nrack worker ${worker}\n`);
    const open = await startCluster({ host: '0.0.0.0', tokenFile });
    onTestFinished(() => open.close());
    // 127.0.0.1 would be refused too, because the port is reachable from other machines.
    const url = `http://127.0.0.2:${open.coordinator.port}/metrics`;
    const answerTo = async (headers: Record<string, string>) => {
      const response = await fetch(url, { headers });
      return [response.status, response.headers.get('www-authenticate')];
    };
    expect(await answerTo({})).toEqual([401, 'Bearer realm="lockstep"']);
    expect(await answerTo(bearer('guessed'))).toEqual([401, 'Bearer realm="lockstep", error="invalid_token"']);
    expect(await answerTo(bearer(worker))).toEqual([403, null]);
    expect(await answerTo(bearer(viewer))).toEqual([200, null]);
    const metrics = await (await fetch(url, { headers: bearer(viewer) })).text();
    expect(valueOf(metrics, 'lockstep_step')).toBe(0);
  });
});

describe('/metrics', () => {
  it('agrees with the events of the run', async () => {
    let steps = 0;
    const { events } = cluster.coordinator;
    const before = await scrape();
    const first = valueOf(before, 'lockstep_step_duration_seconds_count');
    events.on('step', () => steps++);
    // The first scrape may have been during a validation.
    await once(events, 'step');
    await once(events, 'validation');
    const metrics = await scrape();
    expect(valueOf(metrics, 'lockstep_step')).toBeGreaterThanOrEqual(first + steps);
    expect(valueOf(metrics, 'lockstep_step_phase_duration_seconds_count{phase="compute"}')).toBeGreaterThan(first);
    // Each step has 32 images.
    expect(valueOf(metrics, 'lockstep_images_total')).toBe(32 * valueOf(metrics, 'lockstep_step'));
    expect(valueOf(metrics, 'lockstep_workers{state="lost"}')).toBe(0);
    expect(valueOf(metrics, 'lockstep_loss{split="validation"}')).toEqual(expect.any(Number));
    expect(
      valueOf(metrics, 'lockstep_worker_time_ratio{worker="cellar \\"quoted\\"",activity="compute"}'),
    ).toBeLessThan(1);
    expect(valueOf(metrics, 'lockstep_worker_info{worker="attic",engine="fake",device="a fake device",relay=""}')).toBe(
      1,
    );
    expect(valueOf(metrics, 'lockstep_checkpoint_duration_seconds_count')).toBeGreaterThan(0);
    expect(valueOf(metrics, 'process_resident_memory_bytes')).toBeGreaterThan(1e6);
  });

  it.skipIf(!hasPromtool)('passes promtool check metrics', async () => {
    expect(promtool(['check', 'metrics'], await scrape())).toBe('');
    expect(promtool(['check', 'metrics'], '# TYPE steps_total gauge\nsteps_total 1\n')).toContain('no help text');
  });
});

/** Fields of Grafana's dashboard JSON model that these tests use. */
const target = z.strictObject({
  refId: z.string().regex(/^[A-Z]$/),
  datasource: z.strictObject({ type: z.literal('prometheus'), uid: z.literal('${datasource}') }),
  expr: z.string().min(1),
  legendFormat: z.string(),
});
const dashboard = z.looseObject({
  uid: z.string().max(40),
  title: z.string().min(1),
  schemaVersion: z.int().min(36),
  templating: z.object({ list: z.array(z.looseObject({ name: z.string(), type: z.enum(['datasource', 'query']) })) }),
  panels: z.array(
    z.strictObject({
      id: z.int().positive(),
      type: z.enum(['timeseries', 'stat', 'gauge']),
      title: z.string().min(1),
      description: z.string(),
      datasource: target.shape.datasource,
      gridPos: z.strictObject({
        x: z.int().min(0).max(23),
        y: z.int().min(0),
        w: z.int().min(1).max(24),
        h: z.int().positive(),
      }),
      fieldConfig: z.strictObject({
        defaults: z.looseObject({ unit: z.string() }),
        overrides: z.array(z.unknown()),
      }),
      options: z.record(z.string(), z.unknown()),
      targets: z.array(target).min(1),
    }),
  ),
});

const readDashboard = async () =>
  dashboard.parse(JSON.parse(await readFile(new URL('../../deploy/grafana/lockstep.json', import.meta.url), 'utf8')));

/** The alerting rules in the README. */
async function readAlerts(): Promise<string> {
  const readme = await readFile(new URL('../../deploy/grafana/README.md', import.meta.url), 'utf8');
  return /```yaml\n(groups:[\s\S]*?)```/.exec(readme)![1];
}

/** Responses of Prometheus's HTTP API. */
const series = z.object({ metric: z.record(z.string(), z.string()), value: z.tuple([z.number(), z.string()]) });
const vector = z.object({
  status: z.literal('success'),
  data: z.object({ resultType: z.literal('vector'), result: z.array(series) }),
});
const ruleGroups = z.object({
  data: z.object({
    groups: z.array(
      z.object({
        rules: z.array(
          z.object({ name: z.string(), query: z.string(), health: z.string(), lastError: z.string().default('') }),
        ),
      }),
    ),
  }),
});

describe.skipIf(!hasPrometheus)('a real Prometheus that scrapes a run, and a coordinator without workers', () => {
  let prometheus: Prometheus;
  let waiting: Cluster;
  beforeAll(async () => {
    waiting = await startCluster({ minWorkers: 2 });
    const folder = inFolder('prometheus');
    await mkdir(folder);
    prometheus = await startPrometheus([hostOf(cluster), hostOf(waiting)], await readAlerts(), folder);
    return () => prometheus.stop();
  });
  afterAll(() => waiting.close());

  const get = async (place: string, query: Record<string, string> = {}): Promise<unknown> =>
    (await fetch(`${prometheus.url}/api/v1/${place}?${new URLSearchParams(query).toString()}`)).json();
  const ask = async (query: string) => vector.parse(await get('query', { query })).data.result;
  const instances = async (query: string) => (await ask(query)).map(({ metric }) => metric['instance']).toSorted();
  const both = () => [hostOf(cluster), hostOf(waiting)].toSorted();
  /** Value of $instance in Grafana when one coordinator is selected. */
  const chosen = () => hostOf(cluster).replaceAll('.', '\\\\.');
  const filledIn = (expr: string, instance: string) =>
    expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', instance);

  it('scrapes both', async () => {
    await expect.poll(() => instances('up == 1')).toEqual(both());
    const known = await get('label/instance/values', { 'match[]': 'lockstep_run_info' });
    expect(known).toMatchObject({ status: 'success', data: both() });
    // Before the first step, the loss series is absent rather than NaN.
    expect(new Set(await instances('lockstep_loss'))).toEqual(new Set([hostOf(cluster)]));
  });

  it('answers every query of the Grafana dashboard with finite numbers, for one coordinator or all', async () => {
    const questions = (await readDashboard()).panels.flatMap(({ title, targets }) =>
      targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })),
    );
    expect(questions.length).toBeGreaterThan(20);
    for (const { title, expr, legendFormat } of questions) {
      const numbers = async () => (await ask(filledIn(expr, chosen()))).map(({ value }) => Number(value[1]));
      // A rate needs two scrapes, with progress between them.
      await expect
        .poll(async () => (await numbers()).filter(Number.isFinite).length, { message: `${title}: ${expr}` })
        .toBeGreaterThan(0);
      expect((await numbers()).filter((value) => !Number.isFinite(value))).toEqual([]);
      const ofAll = await ask(filledIn(expr, '.*'));
      expect(ofAll.length).toBeGreaterThan(0);
      // The result has the label that the legend uses.
      const label = /^{{(\w+)}}$/.exec(legendFormat)?.[1];
      expect(label !== undefined && ofAll.some(({ metric }) => metric[label] === undefined)).toBe(false);
    }
    const fastest = filledIn('max_over_time(lockstep_images_per_second{instance=~"$instance"}[1m])', chosen());
    expect(Number((await ask(fastest))[0].value[1])).toBeGreaterThan(0);
  });

  it('fires the alerts of the README for a waiting or stopped coordinator, not for a run that progresses', async () => {
    const rules = async () => ruleGroups.parse(await get('rules')).data.groups.flatMap((group) => group.rules);
    await expect.poll(async () => new Set((await rules()).map(({ health }) => health))).toEqual(new Set(['ok']));
    expect((await rules()).filter(({ lastError }) => lastError !== '')).toEqual([]);
    const found = Object.fromEntries(
      await Promise.all((await rules()).map(async ({ name, query }) => [name, await instances(query)] as const)),
    );
    expect(found).toEqual({
      LockstepWaitingForWorkers: [hostOf(waiting)],
      LockstepStalled: [],
      LockstepCheckpointsFailing: [],
      LockstepDown: [],
    });
    waiting.coordinator.stop();
    await Promise.allSettled([waiting.coordinator.report]);
    const { query } = (await rules()).find(({ name }) => name === 'LockstepDown')!;
    await expect.poll(() => instances(query)).toEqual([hostOf(waiting)]);
  });
});

describe('the Grafana dashboard', () => {
  it('has panels that do not overlap, with unique ids', async () => {
    const { panels } = await readDashboard();
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const places = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, place) => `${x + (place % w)},${y + Math.floor(place / w)}`),
    );
    expect(new Set(places).size).toBe(places.length);
    expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
  });

  it('queries only metrics that exist, and uses all of its variables', async () => {
    const { panels, templating } = await readDashboard();
    const metrics = await scrape();
    const declared = new Set(
      [...metrics.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name, type]) =>
        type === 'histogram' ? ['_bucket', '_sum', '_count'].map((suffix) => name + suffix) : [name],
      ),
    );
    const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    const asked = new Set(expressions.flatMap((expr) => expr.match(/\b(?:lockstep|process|nodejs)_\w+/g) ?? []));
    expect([...asked].filter((name) => !declared.has(name))).toEqual([]);
    expect(asked.size).toBeGreaterThan(20);
    expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'instance']);
    expect(expressions.every((expr) => expr.includes('instance=~"$instance"'))).toBe(true);
  });

  it.skipIf(!hasPromtool)('has expressions that promtool accepts, as do the alerts of its README', async () => {
    const { panels } = await readDashboard();
    const rules = panels
      .flatMap(({ targets }) => targets)
      .map(({ expr }, place) => ({
        record: `panel:${place}`,
        expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*'),
      }));
    const check = async (name: string, content: string) => {
      const file = path.join(inFolder(''), name);
      await writeFile(file, content);
      return promtool(['check', 'rules', '--lint=none', file], '');
    };
    expect(await check('panels.yml', JSON.stringify({ groups: [{ name: 'panels', rules }] }))).toBe('');
    expect(await check('alerts.yml', await readAlerts())).toBe('');
  });
});
