// lockstep dashboard: serves the dashboard of a finished or interrupted run.
import type { Command } from 'commander';
import { openRecordedDashboard } from '../../coordinator/monitoring/dashboard/recorded-dashboard.js';
import { portOption } from '../options/number-options.js';
import { RateLimitedPrinter, standardOutput } from '../output/printer.js';
import { openBrowser } from '../process/open-browser.js';

export function configure(command: Command): void {
  command
    .description('Serve the dashboard of a finished or interrupted run on this machine, until you press Ctrl-C.')
    .argument('<RUN-DIR>', 'run directory')
    .addOption(portOption('port to listen on (default: any free port)'))
    .option('--open', 'open the dashboard in a browser')
    .action(async (directory: string, { port = 0, open }: { port?: number; open?: true }) => {
      const printer = new RateLimitedPrinter(standardOutput);
      const dashboard = await openRecordedDashboard(directory, port);
      printer.line(`dashboard of ${directory}: ${dashboard.url} (press Ctrl-C to stop)`);
      if (open) openBrowser(dashboard.url, (line) => printer.line(line));
      await new Promise<void>((resolve) => {
        process.once('SIGINT', () => resolve());
        process.once('SIGTERM', () => resolve());
      });
      await dashboard.close();
    });
}
