// lockstep plot: runs' curves in one HTML file, to look at without a server.
import path from 'node:path';
import type { Command } from 'commander';
import { writePlot } from './plot/write-plot.js';
import { openBrowser } from '../process/open-browser.js';

export function addPlotCommand(program: Command): void {
  program
    .command('plot')
    .description('draw the curves of one or more runs in one HTML file that needs no server and no network')
    .argument('<RUN...>', 'folders of runs, finished or still going on')
    .option('--out <FILE>', 'the file to write, over what is there', 'plot.html')
    .option('--open', 'open it in the browser', false)
    .addHelpText(
      'after',
      `
Loss, accuracy, learning rate and images a second over the steps, with validation and test; the runs lie over each other.

Examples:
  lockstep plot runs/first
  lockstep plot runs/a runs/b --out compared.html --open`,
    )
    .action(async (runs: string[], { out, open }: { out: string; open: boolean }) => {
      const bytes = await writePlot(runs, out);
      const say = (line: string) => program.configureOutput().writeOut?.(`${line}\n`);
      say(`${out}: ${runs.length} ${runs.length === 1 ? 'run' : 'runs'}, ${(bytes / 1e6).toFixed(2)} MB`);
      if (open) openBrowser(path.resolve(out), say);
    });
}
