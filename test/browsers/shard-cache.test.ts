// The shard cache in Web Workers of real browsers.
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { sha256Of } from '../../shared/sha256.js';
import { browserNames, openBrowserOrReason, type Tab, type TestBrowser } from '../support/browsers.js';
import { servePrograms, type ServedPrograms } from '../support/served-programs.js';

const records = 'images, as far as the cache is concerned';
const bytes = records.length;
const sha256 = sha256Of(Buffer.from(records));

/** Resolves to loopback, but browsers do not know that it is secure. */
const insecureHost = 'coordinator.test';

/** Starts a new worker, and defines a function that calls it. */
const startWorker = `{
  globalThis.worker?.terminate();
  globalThis.worker = new Worker('/shard-cache-worker.js', { type: 'module' });
  globalThis.callWorker = (name, parameters) => new Promise((resolve, reject) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => (data.error === undefined ? resolve(data.result) : reject(new Error(data.error)));
    worker.postMessage([name, parameters], [port2]);
  });
}`;

let served: ServedPrograms;
beforeAll(async () => {
  served = await servePrograms({ 'shard-cache-worker': 'test/worker/browser/programs/shard-cache-worker.ts' });
});
afterAll(() => served.close());

/** A tab whose Web Worker has a shard cache. See programs/shard-cache-worker.ts for the calls. */
class CacheTab {
  readonly tab: Tab;

  constructor(tab: Tab) {
    this.tab = tab;
  }

  call<Result>(name: string, ...parameters: unknown[]): Promise<Result> {
    return this.tab.evaluate(`callWorker(${JSON.stringify(name)}, ${JSON.stringify(parameters)})`);
  }

  async reload(): Promise<void> {
    await this.tab.reload();
    await this.tab.evaluate(startWorker);
  }
}

describe.each(browserNames)('in %s', (name) => {
  let browser: TestBrowser | string;
  let firstTab: Tab;

  beforeAll(async () => {
    browser = await openBrowserOrReason(name, 'the shard cache', {
      namedHost: insecureHost,
      firefoxPreferences: {
        // In KiB. The browser grants an origin 10 MiB of it.
        'dom.quotaManager.temporaryStorage.fixedLimit': 20 * 1024,
      },
    });
    if (typeof browser === 'string') return;
    firstTab = await browser.openTab();
    await firstTab.goto(served.url);
  });
  afterAll(async () => {
    if (typeof browser !== 'string') await browser.close();
  });
  beforeEach((context) => {
    if (typeof browser === 'string') context.skip(browser);
  });

  /** Starts a new worker in the first tab. */
  async function newWorker(): Promise<CacheTab> {
    await firstTab.evaluate(startWorker);
    return new CacheTab(firstTab);
  }

  /** Starts a new worker with an empty cache in the first tab. */
  async function emptyCache(storage: 'opfs' | 'cache-api', limitBytes: number | null = null): Promise<CacheTab> {
    const tab = await newWorker();
    await tab.call('clear');
    await tab.call('openIn', storage, limitBytes);
    return tab;
  }

  /** Opens another tab with a new worker. */
  async function openAnother(url = served.url): Promise<CacheTab> {
    const tab = await (browser as TestBrowser).openTab();
    onTestFinished(() => tab.close());
    await tab.goto(url);
    await tab.evaluate(startWorker);
    return new CacheTab(tab);
  }

  describe.each(['opfs', 'cache-api'] as const)('a shard cache in %s', (storage) => {
    it('keeps a shard under its hash until it is removed, also when the page is loaded again', async () => {
      const cache = await emptyCache(storage);
      expect(await cache.call('list')).toEqual([]);
      expect(await cache.call('read', sha256, bytes)).toBeNull();
      await cache.call('write', sha256, records);
      expect(await cache.call('list')).toEqual([sha256]);
      expect(await cache.call('read', sha256, bytes)).toBe(records);
      await cache.reload();
      await cache.call('openIn', storage, null);
      expect(await cache.call('list')).toEqual([sha256]);
      expect(await cache.call('read', sha256, bytes)).toBe(records);
      await cache.call('remove', sha256);
      expect(await cache.call('list')).toEqual([]);
      expect(await cache.call('read', sha256, bytes)).toBeNull();
      expect(await cache.call('failures')).toEqual([]);
    });

    it('removes a shard of the wrong size', async () => {
      const cache = await emptyCache(storage);
      await cache.call('write', sha256, records);
      expect(await cache.call('read', sha256, bytes + 1)).toBeNull();
      expect(await cache.call('list')).toEqual([]);
    });

    it('refuses a name that is not a SHA-256', async () => {
      const cache = await emptyCache(storage);
      for (const name of ['', '../escape', `${sha256}/../x`, sha256.toUpperCase()]) {
        const refused = `RangeError: not a SHA-256: ${name}`;
        await expect(cache.call('read', name, bytes)).rejects.toThrow(refused);
        await expect(cache.call('write', name, records)).rejects.toThrow(refused);
        await expect(cache.call('create', name, bytes)).rejects.toThrow(refused);
        await expect(cache.call('remove', name)).rejects.toThrow(refused);
      }
    });

    it('has room for the shards of the current run, and removes the oldest ones of other runs', async () => {
      const cache = await emptyCache(storage, 20);
      const shards = ['shard no 1', 'shard no 2', 'shard no 3', 'shard no 4'].map((text) => {
        return { text, sha256: sha256Of(Buffer.from(text)) };
      });
      const hashes = shards.map((shard) => shard.sha256);
      await cache.call('reserve', 10);
      for (const shard of shards) {
        await cache.call('write', shard.sha256, shard.text);
        // Files of OPFS have the time of the kernel's clock, which ticks every 4 ms.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      expect((await cache.call<string[]>('list')).toSorted()).toEqual(hashes.slice(1).toSorted());
      await cache.call('reserve', 0);
      await cache.call('write', hashes[0], shards[0].text);
      expect((await cache.call<string[]>('list')).toSorted()).toEqual([hashes[0], hashes[3]].toSorted());
    });

    it('can be used by two tabs at the same time', async () => {
      const one = await emptyCache(storage);
      const other = await openAnother();
      await other.call('openIn', storage, null);
      await Promise.all([one, other].map((cache) => cache.call('write', sha256, records)));
      expect(await Promise.all([one, other].map((cache) => cache.call('read', sha256, bytes)))).toEqual([
        records,
        records,
      ]);
      // A file that one tab reads remains readable while the other stores the same shard.
      await one.call('open', sha256, bytes);
      await other.call('write', sha256, records);
      expect(await one.call('readOpened', 8, 2)).toBe('as');
      expect(await one.call('list')).toEqual([sha256]);
      for (const cache of [one, other]) expect(await cache.call('failures')).toEqual([]);
      await expect.poll(() => one.call('files')).toEqual(storage === 'opfs' ? [`${sha256}.bin`] : []);
    });

    it('reports once that the storage is full, and then behaves as if it were empty', async () => {
      const cache = await emptyCache(storage);
      const origin = new URL(served.url).origin;
      await cache.tab.devTools?.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 10 * 2 ** 20 });
      for (let attempt = 0; attempt < 2; attempt++) {
        await cache.call('writeRandom', sha256, 24 * 2 ** 20);
        expect(await cache.call('create', sha256, 24 * 2 ** 20)).toBe(false);
      }
      expect(await cache.call('list')).toEqual([]);
      expect(await cache.call('files')).toEqual([]);
      expect(await cache.call('failures')).toEqual([
        expect.stringMatching(
          /^the browser's storage is full \(.+\): shards are kept in memory only, and downloaded again/,
        ),
      ]);
      await cache.tab.devTools?.send('Storage.overrideQuotaForOrigin', { origin });
    });
  });

  describe('a new file in OPFS', () => {
    it('is written in parts, and not listed before it is kept', async () => {
      const cache = await emptyCache('opfs');
      expect(await cache.call('create', sha256, bytes)).toBe(true);
      await cache.call('append', records.slice(0, 5), 0);
      await cache.call('append', records.slice(5), 5);
      expect(await cache.call('readCreated', 0, bytes)).toBe(records);
      expect(await cache.call('list')).toEqual([]);
      expect(await cache.call('files')).toEqual([`${sha256}.UUID.partial`]);
      await cache.call('keep');
      expect(await cache.call('readCreated', 3, 7)).toBe(records.slice(3, 10));
      await cache.call('close');
      expect(await cache.call('files')).toEqual([`${sha256}.bin`]);
      expect(await cache.call('read', sha256, bytes)).toBe(records);
    });

    it.each(['removeMove', 'refuseMove'])('is copied by a browser that cannot rename files (%s)', async (call) => {
      const cache = await emptyCache('opfs');
      await cache.call(call);
      await cache.call('create', sha256, bytes);
      await cache.call('append', records, 0);
      await cache.call('keep');
      expect(await cache.call('readCreated', 3, 7)).toBe(records.slice(3, 10));
      await cache.call('close');
      expect(await cache.call('files')).toEqual([`${sha256}.bin`]);
      expect(await cache.call('read', sha256, bytes)).toBe(records);
    });

    it('remains a private one if another tab has stored the shard in the meantime', async () => {
      const [cache, other] = [await emptyCache('opfs'), await openAnother()];
      await other.call('openIn', 'opfs', null);
      await cache.call('create', sha256, bytes);
      await cache.call('append', records, 0);
      await other.call('write', sha256, records);
      await other.call('open', sha256, bytes);
      await cache.call('keep');
      expect(await cache.call('readCreated', 3, 7)).toBe(records.slice(3, 10));
      expect(await other.call('readOpened', 3, 7)).toBe(records.slice(3, 10));
      await cache.call('close');
      await expect.poll(() => cache.call('files')).toEqual([`${sha256}.bin`]);
    });

    it('can be kept by two tabs at the same time', async () => {
      const tabs = [await emptyCache('opfs'), await openAnother()];
      await tabs[1].call('openIn', 'opfs', null);
      for (const tab of tabs) {
        await tab.call('create', sha256, bytes);
        await tab.call('append', records, 0);
      }
      await Promise.all(tabs.map((tab) => tab.call('keep')));
      for (const tab of tabs) expect(await tab.call('readCreated', 0, bytes)).toBe(records);
      for (const tab of tabs) await tab.call('close');
      await expect.poll(() => tabs[0].call('files')).toEqual([`${sha256}.bin`]);
    });

    it('is deleted when it is discarded, and by another tab after its own was closed', async () => {
      const [cache, other] = [await emptyCache('opfs'), await openAnother()];
      await other.call('openIn', 'opfs', null);
      await cache.call('create', sha256, bytes);
      await cache.call('discard');
      await expect.poll(() => cache.call('files')).toEqual([]);
      await cache.call('create', sha256, bytes);
      await other.call('passMinutes', 2);
      // The file of the first tab is still open.
      await other.call('write', sha256, records);
      expect(await other.call('files')).toEqual([`${sha256}.UUID.partial`, `${sha256}.bin`]);
      await cache.reload();
      await expect
        .poll(async () => {
          await other.call('write', sha256, records);
          return other.call('files');
        })
        .toEqual([`${sha256}.bin`]);
    });
  });

  it('OPFS does not list other files', async () => {
    const cache = await emptyCache('opfs');
    for (const name of [`${sha256}.1234.partial`, `${sha256}.bin.bak`, `${sha256.slice(1)}.bin`, 'README']) {
      await cache.call('store', name, records);
    }
    expect(await cache.call('list')).toEqual([]);
    expect(await cache.call('read', sha256, bytes)).toBeNull();
  });

  it('a shard in OPFS that was deleted while it was in use is an error', async () => {
    const cache = await emptyCache('opfs');
    await cache.call('write', sha256, records);
    await cache.call('open', sha256, bytes);
    await cache.call('unlink', `${sha256}.bin`);
    await expect(cache.call('readOpened', 0, bytes)).rejects.toThrow(
      /a shard cannot be read from the browser's storage \(.+\): it was changed or deleted while it was in use\. Reload the page/,
    );
  });

  it('the best storage is OPFS, then the Cache API', async () => {
    const cache = await newWorker();
    expect(await cache.call('openBest')).toBe('opfs');
    await cache.call('removeOpfs');
    expect(await cache.call('openBest')).toBe('cache-api');
  });

  it('a page over plain HTTP from another machine has no storage', async () => {
    const cache = await openAnother(served.url.replace('127.0.0.1', insecureHost));
    expect(await cache.call('openBest')).toBe('none');
    await cache.call('write', sha256, records);
    expect(await cache.call('list')).toEqual([]);
    expect(await cache.call('failures')).toEqual([]);
  });
});

it('a private window of Firefox stores shards in the Cache API', async (context) => {
  const browser = await openBrowserOrReason('Firefox', 'the shard cache of private windows', {
    firefoxPreferences: { 'browser.privatebrowsing.autostart': true },
  });
  if (typeof browser === 'string') {
    context.skip(browser);
    return;
  }
  onTestFinished(() => browser.close());
  const tab = await browser.openTab();
  await tab.goto(served.url);
  await tab.evaluate(startWorker);
  const cache = new CacheTab(tab);
  expect(await cache.call('openBest')).toBe('cache-api');
  await cache.call('write', sha256, records);
  expect(await cache.call('read', sha256, bytes)).toBe(records);
  expect(await cache.call('failures')).toEqual([]);
});
