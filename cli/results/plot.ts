// lockstep plot: plots the curves of one or more runs in an HTML file.
import path from 'node:path';
import type { Command } from 'commander';
import { formatBytes, formatCount } from '../output/format.js';
import { printLines } from '../output/printer.js';
import { openBrowser } from '../process/open-browser.js';
import { writePlot } from './plot/write-plot.js';

export function configure(command: Command): void {
  command
    .description(
      'Plot one or more runs in an HTML file that works without a server or network: loss, accuracy, learning rate and ' +
        'throughput, with validation and test results.',
    )
    .argument('<RUN-DIR...>', 'run directories; the runs may be finished or still in progress')
    .option('--out <FILE>', 'HTML file to write; an existing file is replaced', 'plot.html')
    .option('--open', 'open the file in a browser')
    .addHelpText(
      'after',
      `
Examples:
  lockstep plot runs/first
  lockstep plot runs/a runs/b --out comparison.html --open`,
    )
    .action(async (runs: string[], { out, open }: { out: string; open?: true }) => {
      const bytes = await writePlot(runs, out);
      printLines(command, [`${out}: ${formatCount(runs.length, 'run')}, ${formatBytes(bytes)}`]);
      if (open) openBrowser(path.resolve(out), (line) => printLines(command, [line]));
    });
}
