// lockstep worker: a thin shell over the library's startWorker.
import type { Command } from 'commander';
import { LockstepError } from '../shared/errors.js';
import type { EngineName } from '../worker/engines/open.js';
import { checkUrl, defaultGiveUpAfterMs, startWorker } from '../worker/main.js';
import { parseWholeNumber } from './config-options.js';
import { countOf, duration, LineWriter, standardOutput } from './progress.js';
import { engineOption, tokenOption } from './training.js';

export function addWorkerCommand(program: Command): void {
  program
    .command('worker <url>')
    .description('compute for a coordinator: ws://HOST:PORT')
    .addOption(engineOption())
    .option('--threads <N>', 'threads to compute with', '1')
    .option('--name <NAME>', 'what the coordinator calls this worker (default: host name and process id)')
    .addOption(tokenOption())
    .option('--cache <DIR>', 'where shards are kept between runs (default: ~/.cache/lockstep/shards)')
    .option('--no-cache', 'keep no shards on disk')
    .option('--give-up-after <SECONDS>', 'how long to knock in vain', String(defaultGiveUpAfterMs / 1000))
    .option('--quiet', 'say nothing but errors')
    .action(async (url: string, options: Record<string, string | boolean | undefined>) => {
      const { threads = '1', name, token, cache, giveUpAfter = '', engine, quiet } = options as Record<string, string>;
      checkUrl(url);
      const worker = await startWorker({
        url,
        // commander has checked the choice.
        engine: engine as EngineName,
        threads: parseWholeNumber('--threads', threads, 1, 1024),
        name,
        token,
        cache: options['cache'] === false ? null : options['cache'] === true ? undefined : cache,
        giveUpAfterMs: 1000 * parseWholeNumber('--give-up-after', giveUpAfter, 1),
      });
      const writer = new LineWriter(quiet ? { isTerminal: false, write: () => undefined } : standardOutput);
      if (worker.engineChoice !== undefined) writer.line(`engine: ${worker.engineChoice}`);
      writer.line(`${worker.name} computes with ${worker.engine.fingerprint}; joining ${url}`);
      worker.events.on('joined', ({ workerId, depth, sliceCount, batchSize }) =>
        writer.line(`joined as worker ${workerId}: ResNet-${depth}, batches of ${batchSize} in ${sliceCount} slices`),
      );
      worker.events.on('reconnecting', ({ reason, delayMs }) =>
        writer.line(`not connected (${reason}); trying again in ${duration(delayMs)}`),
      );
      let images = 0;
      worker.events.on('progress', (progress) => {
        images += progress.images;
        if (writer.isTerminal) writer.live(`step ${progress.step + 1} · ${countOf(images, 'image')} computed`);
      });

      const stop = (reason: string) => worker.stop(reason);
      const onSignal = (signal: NodeJS.Signals) => stop(`interrupted by ${signal}`);
      process.on('SIGINT', onSignal);
      process.on('SIGTERM', onSignal);
      // Started by `lockstep train`: without it there is nobody to compute for.
      process.on('disconnect', () => stop('the process that started this worker has ended'));
      const summary = await worker.done;
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
      if (process.connected) process.disconnect();
      writer.line(`${summary.reason}; ${countOf(summary.images, 'image')} computed`);
      if (summary.reason.startsWith('interrupted')) throw new LockstepError('interrupted', summary.reason);
    });
}
