// Progress of downloads and imports on stderr, and their interruption by Ctrl-C.
import type { Command } from 'commander';
import cliProgress from 'cli-progress';
import { interruptedBy, onStopSignals } from '../../process/stop-signals.js';

export interface Transfer {
  onProgress: (done: number, total: number) => void;
  signal: AbortSignal;
}

/**
 * Calls `use` with callbacks that show progress, and with a signal that Ctrl-C aborts.
 * @param verb for example `downloading`
 * @param format formats a number of bytes or images
 */
export async function withProgress<Result>(
  command: Command,
  verb: string,
  format: (amount: number) => string,
  use: (transfer: Transfer) => Promise<Result>,
): Promise<Result> {
  const progress = process.stderr.isTTY ? progressBar(format) : progressLines(command, verb, format);
  const abort = new AbortController();
  const ignoreSignals = onStopSignals((signal) => abort.abort(interruptedBy(signal)));
  try {
    return await use({ onProgress: progress.update, signal: abort.signal });
  } finally {
    ignoreSignals();
    progress.stop();
  }
}

interface Progress {
  update: (done: number, total: number) => void;
  stop: () => void;
}

function progressBar(format: (amount: number) => string): Progress {
  const bar = new cliProgress.SingleBar(
    { format: '{bar} {percentage}% | {done} of {all} | {eta_formatted} left', stream: process.stderr },
    cliProgress.Presets.shades_classic,
  );
  let isStarted = false;
  return {
    update: (done, total) => {
      const payload = { done: format(done), all: format(total) };
      if (!isStarted) bar.start(total, done, payload);
      else bar.update(done, payload);
      isStarted = true;
    },
    stop: () => bar.stop(),
  };
}

/** Reports progress to logs and pipes: a line at the start and after each tenth. */
function progressLines(command: Command, verb: string, format: (amount: number) => string): Progress {
  let lastTenth = -1;
  return {
    update: (done, total) => {
      const tenth = Math.floor((done / total) * 10);
      if (tenth === lastTenth) return;
      lastTenth = tenth;
      command.configureOutput().writeErr?.(`${verb}: ${format(done)} of ${format(total)}\n`);
    },
    stop: () => undefined,
  };
}
