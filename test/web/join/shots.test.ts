import { it } from 'vitest';
import { openChromiumOrReason, openPage } from '../../support/chromium.js';
import { servePage } from './page-server.js';
it('shots', async () => {
  const browser = await openChromiumOrReason('x'); if (typeof browser === 'string') return;
  const server = await servePage();
  const token = `join-0123456789abcdef-1796126400-32-${'s'.repeat(43)}`;
  for (const [colorScheme, width] of [['light', 900], ['dark', 900], ['light', 320]] as const) {
    const { page } = await openPage(browser, { width, height: 760, colorScheme });
    await page.clock.install();
    await page.goto(`http://127.0.0.1:${server.port}/join#${token}`);
    const shot = (name: string) => page.screenshot({ path: `/tmp/shots/${name}-${colorScheme}-${width}.png` });
    await page.getByRole('button').first().waitFor(); await shot('1');
    await page.getByRole('button').first().click();
    const emit = (type: string, event: object) => page.evaluate(`workers.at(-1).emit('${type}', ${JSON.stringify(event)})`);
    await emit('joined', { url: '', workerId: 3, network: 'resnet20', sliceCount: 4, batchSize: 128, totalSteps: 1000 });
    await emit('engine', { engine: 'wasm', fingerprint: 'wasm 1.0 strict', device: 'Chromium, 4 cores' });
    for (let step = 340; step < 350; step++) { await emit('progress', { step, images: 32, slices: 1 }); await page.clock.runFor(1000); }
    await shot('2');
    await page.getByRole('button').first().click();
    await emit('cacheFailed', { message: 'the quota of 60 MB is exceeded' });
    await emit('reconnecting', { reason: 'the connection was closed', attempt: 1, delayMs: 4000 });
    await page.waitForTimeout(100);
    await page.screenshot({ path: `/tmp/shots/3-${colorScheme}-${width}.png`, fullPage: true });
    await page.evaluate(`workers.at(-1).fail('refused', 'http://h refused this worker (fingerprint): the run uses the tensorflow engine, but this worker offers wasm')`);
    await page.waitForTimeout(100); await shot('4');
  }
  await browser.close(); server.close();
});
