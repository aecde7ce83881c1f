// lockstep plot: runs' curves in one HTML file, to look at without a server.
import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Command } from 'commander';
import { writePlot } from '../plot/write-plot.js';

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
      if (open && !(await opens(path.resolve(out))))
        say(`no browser could be started: open ${path.resolve(out)} yourself`);
    });
}

/** Whether the system's way of opening a file could be started. */
function opens(file: string): Promise<boolean> {
  const [command, ...args] =
    process.platform === 'darwin'
      ? ['open', file]
      : process.platform === 'win32'
        ? ['explorer.exe', file]
        : ['xdg-open', file];
  const child = spawn(command, args, { detached: true, stdio: 'ignore' });
  child.unref();
  return new Promise((resolve) => {
    child.once('spawn', () => resolve(true));
    child.once('error', () => resolve(false));
  });
}
