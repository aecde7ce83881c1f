// Views of a run in progress: human-readable, quiet, or as JSON lines.
import { Option, type Command } from 'commander';
import type { Coordinator } from '../../coordinator/main.js';
import { metricsLineOf } from '../../coordinator/run/metrics-lines.js';
import type { Report } from '../../coordinator/run/report.js';
import type { DatasetHandlers } from '../../datasets/read-options.js';
import { summarizeModel } from '../../inference/export/summary.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { lockstepVersion } from '../../shared/version.js';
import { withFlags } from './flag-names.js';
import { formatInteger } from './format.js';
import { describeJoinLink } from './join-link.js';
import { printable, RateLimitedPrinter, standardOutput, writeJsonLine, type Output } from './printer.js';
import { inexactLine, showProgress, showReport, testLine, weightsLine } from './progress.js';

export interface RunView {
  begin(run: Coordinator): void;
  /** Shows the run's join link, if it has one. The quiet view does not. */
  joinLink(run: Coordinator): void;
  /** Shows information that only the human-readable view prints. */
  line(text: string): void;
  /** Acknowledges a signal such as Ctrl-C. */
  notice(text: string): void;
  /** Shows how many images of a folder have been imported. */
  importing(done: number, total: number): void;
  /** Warns about a problem that the run also records in metrics.jsonl. */
  warning(text: string): void;
  /**
   * Reports an event outside the run itself, for example in a worker process. @param name name of the event, for
   * scripts
   */
  event(name: string, text: string): void;
  end(report: Report, run: Coordinator): void;
  fail(error: unknown): void;
}

export interface ViewOptionValues {
  quiet?: true;
  json?: true;
  summary?: boolean;
}

export function addViewOptions(command: Command): Command {
  return command
    .optionsGroup('Output:')
    .addOption(new Option('--quiet', 'print only warnings, errors and the final result').conflicts('json'))
    .option('--json', 'print one line of JSON per event: the start, the lines of metrics.jsonl, then the report')
    .addOption(
      new Option(
        '--summary',
        'print the layer table before training (default: only if the output is a terminal)',
      ).conflicts(['quiet', 'json']),
    )
    .option('--no-summary', 'print the parameter count only, not the layer table');
}

export function readView({ json, quiet, summary }: ViewOptionValues, output = standardOutput): RunView {
  if (json) return jsonView(output);
  if (quiet) return quietView(output);
  return personView(new RateLimitedPrinter(output), summary ?? output.isTerminal);
}

/** Shows the progress of an import of images, and warnings about them. */
export function datasetHandlers(view: RunView): DatasetHandlers {
  return {
    onDatasetWarning: (text) => view.warning(text),
    onDatasetProgress: (done, total) => view.importing(done, total),
  };
}

export function personView(printer: RateLimitedPrinter, showsLayers: boolean): RunView {
  const line = (text: string) => printer.line(text);
  return {
    begin: (run) => showProgress(run, printer, showsLayers),
    joinLink(run) {
      const link = run.joinLink();
      if (link !== null) printer.line(...describeJoinLink(link, run));
    },
    line,
    importing: (done, total) => printer.live([`importing images: ${formatInteger(done)} of ${formatInteger(total)}`]),
    notice: line,
    warning: (text) => printer.warning(text),
    event: (_name, text) => printer.line(text),
    end: (report, run) => showReport(report, run, printer),
    fail: () => printer.endLive(),
  };
}

function quietView(output: Output): RunView {
  const printer = new RateLimitedPrinter(output);
  return {
    begin({ events }) {
      events.on('inexact', (event) => printer.warning(inexactLine(event)));
    },
    joinLink: () => undefined,
    line: () => undefined,
    importing: () => undefined,
    notice: (text) => void process.stderr.write(`lockstep: ${printable(text)}\n`),
    warning: (text) => printer.warning(text),
    event: (_name, text) => printer.warning(text),
    end(report) {
      if (report.test !== null) printer.line(testLine(report.test));
      printer.line(weightsLine(report));
    },
    fail: () => undefined,
  };
}

function jsonView(output: Output): RunView {
  const write = (type: string, values: object) =>
    writeJsonLine(output, { type, time: new Date().toISOString(), ...values });
  return {
    begin(run) {
      const { runDirectory, url, host, port, dashboardUrl, dataset, totalSteps, stepsPerEpoch, config, layout } = run;
      const { layers: _layers, model: _model, ...parameters } = summarizeModel(layout);
      const address = { url, host, port, dashboardUrl };
      const length = { totalSteps, stepsPerEpoch };
      write('start', { lockstepVersion, runDirectory, ...address, dataset, ...length, ...parameters, config });
      run.events.on('event', (event) => {
        const line = metricsLineOf(event);
        if (line !== undefined) writeJsonLine(output, line);
      });
    },
    joinLink(run) {
      const link = run.joinLink();
      if (link !== null) write('event', { event: 'join-link', detail: link.url });
    },
    line: () => undefined,
    importing: () => undefined,
    notice: () => undefined,
    warning: () => undefined,
    event: (event, detail) => write('event', { event, detail: withFlags(detail) }),
    end: (report) => write('report', report),
    fail: (error) =>
      write('error', {
        code: error instanceof LockstepError ? error.code : 'unknown',
        message: withFlags(messageOf(error)),
      }),
  };
}
