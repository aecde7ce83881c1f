// The shard cache in Web Workers of real browsers.
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { sha256Of } from '../../../shared/sha256.js';
import { browserNames, openBrowserOrReason, type Tab, type TestBrowser } from '../../support/browsers.js';
import { servePrograms, type ServedPrograms } from '../../support/served-programs.js';

const records = 'images, as far as the cache is concerned';
const bytes = records.length;
const sha256 = sha256Of(Buffer.from(records));

/** Starts the worker, and defines a function that calls it. */
const startWorker = `{
  const worker = new Worker('/shard-cache-worker.js', { type: 'module' });
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

  beforeAll(async () => {
    browser = await openBrowserOrReason(name, 'the shard cache', {
      // In KiB. The browser grants an origin 10 MiB of it.
      firefoxPreferences: { 'dom.quotaManager.temporaryStorage.fixedLimit': 20 * 1024 },
    });
  });
  afterAll(async () => {
    if (typeof browser !== 'string') await browser.close();
  });
  beforeEach((context) => {
    if (typeof browser === 'string') context.skip(browser);
  });

  async function openTab(url = served.url): Promise<CacheTab> {
    const tab = await (browser as TestBrowser).openTab();
    onTestFinished(() => tab.close());
    await tab.goto(url);
    await tab.evaluate(startWorker);
    return new CacheTab(tab);
  }

  /** Opens a tab with an empty cache. */
  async function emptyCache(storage: 'opfs' | 'cache-api', limitBytes?: number): Promise<CacheTab> {
    const tab = await openTab();
    await tab.call('clear');
    await tab.call('openIn', storage, limitBytes);
    return tab;
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
      await cache.call('openIn', storage);
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

    it.each(['', '../escape', `${sha256}/../x`, sha256.toUpperCase()])('refuses a shard named %j', async (name) => {
      const cache = await emptyCache(storage);
      for (const call of [
        ['read', name, bytes],
        ['write', name, records],
        ['create', name, bytes],
        ['remove', name],
      ] as const) {
        await expect(cache.call(...call)).rejects.toThrow(`RangeError: not a SHA-256: ${name}`);
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
      const other = await openTab();
      await other.call('openIn', storage);
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
      if (storage === 'opfs') expect(await one.call('files')).toEqual([`${sha256}.bin`]);
    });

    it('reports once that the storage is full, and then behaves as if it were empty', async () => {
      const cache = await emptyCache(storage);
      const origin = new URL(served.url).origin;
      await cache.tab.devTools?.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 10 * 2 ** 20 });
      for (let attempt = 0; attempt < 2; attempt++) {
        await cache.call('writeZeros', sha256, 24 * 2 ** 20);
        expect(await cache.call('create', sha256, 24 * 2 ** 20)).toBe(false);
      }
      expect(await cache.call('list')).toEqual([]);
      expect(await cache.call('failures')).toEqual([
        expect.stringMatching(
          /^the browser's storage is full \(.+\): shards are kept in memory only, and downloaded again/,
        ),
      ]);
      await cache.tab.devTools?.send('Storage.overrideQuotaForOrigin', { origin });
    });
  });
});
