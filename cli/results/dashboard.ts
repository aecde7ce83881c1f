// lockstep dashboard: looks at a run that is over.
import type { Command } from 'commander';
import { openRecordedDashboard } from '../../coordinator/monitoring/dashboard/recorded-dashboard.js';
import { openBrowser } from '../process/open-browser.js';
import { RateLimitedPrinter, standardOutput } from '../output/line-writer.js';
import { parsePort } from '../options/port-options.js';

export function addDashboardCommand(program: Command): void {
  program
    .command('dashboard')
    .description('look at a finished or interrupted run again, in a browser on this machine')
    .argument('<RUN-DIR>', "a run's folder")
    .option('--port <PORT>', 'port to listen on (default: any free one)')
    .option('--open', 'open it in a browser')
    .action(async (directory: string, { port = '0', open }: { port?: string; open?: true }) => {
      const writer = new RateLimitedPrinter(standardOutput);
      const dashboard = await openRecordedDashboard(directory, parsePort(port));
      writer.line(`dashboard of ${directory}: ${dashboard.url} (Ctrl-C ends it)`);
      if (open) openBrowser(dashboard.url, (line) => writer.line(line));
      await new Promise<void>((resolve) => {
        process.once('SIGINT', () => resolve());
        process.once('SIGTERM', () => resolve());
      });
      await dashboard.close();
    });
}
