// Shows a run until it ends, and stops it on SIGINT or SIGTERM.
import type { Coordinator } from '../../coordinator/main.js';
import { isLoopback } from '../../coordinator/connections/http/http-access.js';
import type { RunView } from '../output/run-view.js';
import { openBrowser } from '../process/open-browser.js';
import { interruptedBy, onStopSignals } from '../process/stop-signals.js';

/**
 * Shows a run until it ends. The first SIGINT or SIGTERM stops it after the current step and saves a checkpoint; the
 * second one ends this process immediately.
 * @param kill kills the child processes before the second signal ends this process
 */
export async function follow(
  run: Coordinator,
  view: RunView,
  { open = false, kill }: { open?: boolean; kill?: () => void },
): Promise<void> {
  let isStopping = false;
  const ignoreSignals = onStopSignals((signal) => {
    isStopping = true;
    view.notice(
      `${signal}: finishing the current step and saving a checkpoint; press Ctrl-C again to quit immediately`,
    );
    run.stop(interruptedBy(signal));
  }, kill);
  showDashboard(run, view, open);
  run.events.on('checkpoint', ({ path }) => {
    if (isStopping) view.notice(`saved ${path}`);
  });
  run.events.on('checkpoint-failed', ({ step, reason, lastCheckpoint }) => {
    view.warning(`cannot save a checkpoint after step ${step} (${reason}); ${lastCheckpoint}; training continues`);
  });
  run.events.on('metrics-failed', ({ reason }) => {
    view.warning(`cannot write metrics.jsonl (${reason}); its lines are kept in memory and written later`);
  });
  run.events.on('tensorboard-failed', ({ reason }) => {
    view.warning(`cannot write TensorBoard event files (${reason}); training continues without them`);
  });
  view.begin(run);
  view.joinLink(run);
  try {
    view.end(await run.report, run);
  } catch (error) {
    view.fail(error);
    throw error;
  } finally {
    ignoreSignals();
  }
}

function showDashboard(run: Coordinator, view: RunView, open: boolean): void {
  const { dashboardUrl, publicUrl, host, port } = run;
  if (dashboardUrl === undefined) return;
  const remoteUrl = `${new URL(dashboardUrl).protocol}//<this machine's address>:${port}`;
  view.line(`dashboard: ${publicUrl === undefined ? (isLoopback(host) ? dashboardUrl : remoteUrl) : `${publicUrl}/`}`);
  if (open) openBrowser(dashboardUrl, (line) => view.event('no-browser', line));
}
