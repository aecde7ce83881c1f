// lockstep status: shows what a running coordinator is doing.
import type { Command } from 'commander';
import { computes } from '../../shared/monitoring/computing-workers.js';
import type { RunStatus } from '../../shared/monitoring/run-status.js';
import { visible } from '../../shared/visible-text.js';
import { addStatusCommand } from '../client/status-command.js';
import { formatBytes, formatCount, formatDuration, formatLearningRate, formatTimeLeft } from '../output/format.js';

export function configure(command: Command): void {
  addStatusCommand(
    command.description('Show what a running coordinator is doing: progress, metrics, workers and checkpoints.'),
    describeRun,
  );
}

function describeRun({ lockstepVersion, time, run, workers }: RunStatus): string[] {
  const connected = workers.filter(computes).length;
  const durationSince = (from: string) => formatDuration(Date.parse(time) - Date.parse(from));
  const needed = run.phase === 'waiting' ? ` of ${run.workersNeeded} needed` : '';
  const { checkpoint } = run;
  const lines = [
    `${run.phase} · ${run.directory} · lockstep ${lockstepVersion}, running for ${durationSince(run.startedAt)}`,
    `step ${run.step}/${run.steps} · epoch ${run.epoch}/${run.epochs} · loss ${fixed(run.loss)} · ` +
      `accuracy ${fixed(run.accuracy)} · rate ${formatLearningRate(run.learningRate)}`,
    `${run.imagesPerSecond.now.toFixed(0)} images/s now, ${run.imagesPerSecond.mean.toFixed(0)} on average · ` +
      formatTimeLeft(run.secondsLeft),
    ...(['validation', 'test'] as const).flatMap((split) => {
      const metrics = run[split];
      return metrics === null
        ? []
        : [`${split} after step ${metrics.step}: loss ${fixed(metrics.loss)}, accuracy ${fixed(metrics.accuracy)}`];
    }),
    `${formatCount(connected, 'worker')}${needed} · ${run.workersLost} lost · ` +
      `${formatCount(run.slicesReassigned, 'slice')} reassigned · ${formatCount(run.stragglers, 'straggler')} · ` +
      (run.exact ? 'exact' : 'not exact'),
    `${formatBytes(run.bytesSent)} sent, ${formatBytes(run.bytesReceived)} received` +
      (run.clippedValues > 0 ? ` · ${formatCount(run.clippedValues, 'gradient value')} clipped` : ''),
    checkpoint === null
      ? 'no checkpoint yet'
      : `checkpoint ${checkpoint.path}${checkpoint.time === null ? '' : `, ${durationSince(checkpoint.time)} ago`}`,
  ];
  return lines.map(visible);
}

function fixed(value: number | null): string {
  return value === null ? '-' : value.toFixed(4);
}
