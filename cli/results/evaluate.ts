// lockstep evaluate: what a checkpoint is worth on the test or the validation images.
import { Option, type Command } from 'commander';
import { startEvaluation, type Evaluation, type EvaluationReport } from '../../coordinator/evaluation-run.js';
import type { EvaluationSplit } from '../../coordinator/dataset/shard-store.js';
import { defaultPort } from '../../coordinator/connections/access-policy.js';
import { LockstepError } from '../../shared/errors.js';
import { evaluate, type LocalEvaluation } from '../../inference/evaluate.js';
import { describeWorkerExit } from '../../single-node/worker-processes.js';
import { parseWholeNumber } from '../options/config-options.js';
import { parsePort, parseWaitTimeout } from '../options/port-options.js';
import { addEngineOptions, gpusOption, readEngineOptions } from '../options/engine-options.js';
import { countOf, duration, RateLimitedPrinter, nowhere, standardOutput } from '../output/line-writer.js';
import { addServerTlsOptions } from '../options/tls-options.js';
import { workerCommand } from '../train/worker-command.js';
import { coordinatorTokens, tokenFileOption, tokenOption } from '../options/token-options.js';

const splits: EvaluationSplit[] = ['test', 'validation'];

export function addEvaluateCommand(program: Command): void {
  addServerTlsOptions(
    addEngineOptions(
      program
        .command('evaluate')
        .description('loss and accuracy of a checkpoint, class by class, and what is taken for what')
        .argument('<CHECKPOINT>', 'a checkpoint, or a run’s folder, which means its latest')
        .addOption(new Option('--split <SPLIT>', 'which images').choices(splits).default('test'))
        .option('--data <DIR>', 'folder of the CIFAR-10 binary files (default: as in the run)')
        .addOption(
          new Option('--no-augment-validation', 'plain validation images, where the run flipped and cropped them'),
        )
        .option('--workers <N>', 'worker processes here (default: one per core)')
        .addOption(gpusOption()),
    ),
  )
    .option('--host <ADDRESS>', 'wait for workers from elsewhere on this address; any but loopback needs a token')
    .option('--port <PORT>', `wait for workers from elsewhere on this port (with --host: ${defaultPort})`)
    .option('--wait-timeout <SECONDS>', 'give up when no worker from elsewhere has come for so long (default: never)')
    .addOption(tokenOption('what workers from elsewhere must show'))
    .addOption(tokenFileOption('tokens with a name and a role each: lines of NAME ROLE TOKEN'))
    .option('--json', 'print JSON', false)
    .action(async (checkpoint: string, options: Record<string, string | boolean | undefined>, command: Command) => {
      const isJson = options['json'] === true;
      // Under --json nothing but the result is on standard output.
      const writer = new RateLimitedPrinter(isJson ? nowhere : standardOutput);
      const common = {
        checkpoint,
        split: options['split'] as EvaluationSplit,
        data: options['data'] as string | undefined,
        augmentValidation: options['augmentValidation'] === false ? false : undefined,
      };
      const evaluation = await start(common, options, command, writer);
      const report = await follow(evaluation, writer);
      if (isJson) standardOutput.write(`${JSON.stringify(report, null, 2)}\n`);
      else for (const line of describeEvaluation(report)) writer.line(line);
    });
}

async function start(
  common: {
    checkpoint: string;
    split: EvaluationSplit;
    data: string | undefined;
    augmentValidation: boolean | undefined;
  },
  options: Readonly<Record<string, string | boolean | undefined>>,
  command: Command,
  writer: RateLimitedPrinter,
): Promise<Evaluation | LocalEvaluation> {
  const { workers, gpus, host, port, waitTimeout, tlsCert, tlsKey, tlsClientCa } = options as Record<
    string,
    string | undefined
  >;
  if (host === undefined && port === undefined) {
    const forElsewhere = {
      '--wait-timeout': waitTimeout,
      '--tls-cert': tlsCert,
      '--tls-key': tlsKey,
      '--tls-client-ca': tlsClientCa,
    };
    for (const [flag, value] of Object.entries(forElsewhere)) {
      if (value === undefined) continue;
      throw new LockstepError(
        'bad-option',
        `${flag} is ${value}: it needs --host or --port, for workers from elsewhere`,
      );
    }
    return evaluate({
      ...common,
      workers: workers === undefined ? undefined : parseWholeNumber('--workers', workers, 1, 4096),
      gpus,
      ...(await readEngineOptions(options)),
    });
  }
  for (const [flag, value] of Object.entries({ '--workers': workers, '--gpus': gpus })) {
    if (value === undefined) continue;
    throw new LockstepError(
      'bad-option',
      `${flag} is ${value}: with --host or --port the workers come from elsewhere; start them with lockstep worker`,
    );
  }
  const tokens = coordinatorTokens(command);
  const evaluation = await startEvaluation({
    ...common,
    host,
    port: port === undefined ? undefined : parsePort(port),
    waitTimeoutMs: parseWaitTimeout(waitTimeout),
    ...tokens,
    tlsCert,
    tlsKey,
    tlsClientCa,
  });
  evaluation.events.on('access', ({ message }) => writer.line(`door: ${message}`));
  writer.line(`listening on ${evaluation.host}:${evaluation.port}; start workers with:`);
  writer.line(`  ${workerCommand(evaluation, tokens, { tlsCert, tlsClientCa })}`);
  return evaluation;
}

/** Shows an evaluation to its end. Ctrl-C and SIGTERM end it. */
async function follow(evaluation: Evaluation | LocalEvaluation, writer: RateLimitedPrinter): Promise<EvaluationReport> {
  const { checkpoint, split, images, events } = evaluation;
  const onSignal = (signal: NodeJS.Signals) => {
    evaluation.stop(new LockstepError('interrupted', `interrupted by ${signal}`));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  writer.line(`${checkpoint.path}: step ${checkpoint.step}, ResNet-${checkpoint.config.depth}`);
  writer.line(`${images.toLocaleString('en-US')} ${split} images: ${evaluation.dataset}`);
  if (!evaluation.isRunsOwnSplit) {
    writer.warning(
      `these are not the ${split} images that the run had: the result is not comparable with the run's; --data names others`,
    );
  }
  if ('processes' in evaluation) {
    evaluation.processes.on('workerExited', (exit) => writer.warning(describeWorkerExit(exit)));
  }
  events.on('worker-joined', ({ name, fingerprint, workers }) =>
    writer.line(`${name} joined (${fingerprint}), ${countOf(workers, 'worker')} now`),
  );
  events.on('worker-lost', ({ name, reason, workers }) =>
    writer.line(`${name} is gone (${reason}), ${countOf(workers, 'worker')} left`),
  );
  events.on('evaluation-progress', ({ done }) => {
    if (writer.isTerminal) writer.live([`${done} of ${images} images`]);
  });
  try {
    return await evaluation.report;
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

function describeEvaluation(report: EvaluationReport): string[] {
  const { split, loss, accuracy, classes, confusion, unclassified, images, wallSeconds } = report;
  const title = split === 'test' ? 'Test' : 'Validation';
  // Names may begin alike: columns have the labels' numbers.
  const names = classes.map(({ name }, label) => `${label} ${name}`);
  const nameWidth = Math.max(...names.map((name) => name.length));
  const rowOf = (head: string, cells: readonly (string | number)[]) =>
    `${head.padEnd(nameWidth)}${cells.map((cell) => String(cell).padStart(7)).join('')}`;
  return [
    '',
    rowOf('', ['images', 'right', '']),
    ...classes.map(({ images: count, correct, accuracy: part }, label) =>
      rowOf(names[label], [count, correct, part === null ? '-' : `${(100 * part).toFixed(1)}%`]),
    ),
    '',
    'What images show (down) and what they were taken for (across):',
    rowOf('', [...classes.keys()]),
    ...confusion.map((row, label) => rowOf(names[label], row)),
    ...(unclassified > 0 ? [`${countOf(unclassified, 'image')} of no class: the logits are no numbers`] : []),
    '',
    `${title} loss: ${loss.toFixed(4)} / ${title} accuracy: ${accuracy.toFixed(4)}`,
    `${images.toLocaleString('en-US')} images in ${duration(1000 * wallSeconds)}, ${(images / wallSeconds).toFixed(0)} images/s`,
  ];
}
