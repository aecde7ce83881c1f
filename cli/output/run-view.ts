// How a run is told while it goes on: to a person, in its last lines alone, or as a line of JSON an event.
import { Option, type Command } from 'commander';
import type { Coordinator } from '../../coordinator/main.js';
import { metricsLineOf } from '../../coordinator/run/metrics-lines.js';
import type { Report } from '../../coordinator/run/report.js';
import { summarizeModel } from '../../inference/export/summary.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { layoutModel } from '../../shared/network/layout.js';
import { lockstepVersion } from '../../shared/version.js';
import { visible } from '../../shared/visible-text.js';
import { RateLimitedPrinter, standardOutput, type Output } from './line-writer.js';
import { inexactLine, showProgress, showReport, testLine, weightsLine } from './progress.js';

export interface RunView {
  begin(run: Coordinator): void;
  /** Something for a person who watches. */
  line(text: string): void;
  /** Something for whoever pressed a key. */
  notice(text: string): void;
  /** What a person must not miss. The run has its own line for it in metrics.jsonl. */
  warning(text: string): void;
  /** What the run does not know of itself. @param event a word for scripts */
  tell(event: string, text: string): void;
  end(report: Report, run: Coordinator): void;
  fail(error: unknown): void;
}

export function addViewOptions(command: Command): Command {
  return command
    .addOption(new Option('--quiet', 'say nothing but warnings, errors and the last lines').conflicts('json'))
    .option('--json', 'a line of JSON an event on standard output: start, those of metrics.jsonl, then report')
    .addOption(new Option('--summary', 'list the layers first (default: on a terminal)').conflicts(['quiet', 'json']))
    .option('--no-summary', 'say no more of the layers than how many parameters they have');
}

export function readView(options: Readonly<Record<string, unknown>>, output = standardOutput): RunView {
  if (options['json'] === true) return jsonView(output);
  if (options['quiet'] === true) return quietView(output);
  const { summary } = options;
  return personView(new RateLimitedPrinter(output), summary === undefined ? output.isTerminal : summary === true);
}

export function personView(writer: RateLimitedPrinter, summary: boolean): RunView {
  return {
    begin: (run) => showProgress(run, writer, summary),
    line: (text) => writer.line(text),
    notice: (text) => writer.line(text),
    warning: (text) => writer.warning(text),
    tell: (_event, text) => writer.line(text),
    end: (report, run) => showReport(report, run.runDirectory, writer),
    fail: () => writer.endLive(),
  };
}

function quietView(output: Output): RunView {
  const writer = new RateLimitedPrinter(output);
  const toErrors = (text: string) => void process.stderr.write(`lockstep: ${visible(text)}\n`);
  return {
    begin({ events }) {
      events.on('inexact', (event) => writer.warning(inexactLine(event)));
    },
    line: () => undefined,
    notice: toErrors,
    warning: (text) => writer.warning(text),
    tell: (_event, text) => writer.warning(text),
    end(report) {
      writer.line(testLine(report.test));
      writer.line(weightsLine(report));
    },
    fail: () => undefined,
  };
}

function jsonView(output: Output): RunView {
  const say = (line: object) => output.write(`${JSON.stringify(line)}\n`);
  const time = () => new Date().toISOString();
  return {
    begin(run) {
      const { runDirectory, url, host, port, dashboardUrl, dataset, totalSteps, stepsPerEpoch, config } = run;
      const { totalParameters, trainableParameters, nonTrainableParameters } = summarizeModel(layoutModel(config));
      const parameters = { totalParameters, trainableParameters, nonTrainableParameters };
      const place = { runDirectory, url, host, port, dashboardUrl };
      say({
        type: 'start',
        time: time(),
        lockstepVersion,
        ...place,
        dataset,
        totalSteps,
        stepsPerEpoch,
        ...parameters,
        config,
      });
      run.events.on('event', (event) => {
        const line = metricsLineOf(event);
        if (line !== undefined) say(line);
      });
    },
    line: () => undefined,
    notice: () => undefined,
    warning: () => undefined,
    tell: (event, detail) => say({ type: 'event', time: time(), event, detail }),
    end: (report) => say({ type: 'report', time: time(), ...report }),
    fail: (error) =>
      say({
        type: 'error',
        time: time(),
        code: error instanceof LockstepError ? error.code : 'unknown',
        message: messageOf(error),
      }),
  };
}
