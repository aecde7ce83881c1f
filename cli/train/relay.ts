// lockstep relay: joins a coordinator as a relay, and lets workers join the relay.
import type { Command } from 'commander';
import { defaultPort } from '../../coordinator/connections/access-policy.js';
import type { ServerTlsFiles } from '../../coordinator/connections/server-tls.js';
import { startRelay, type Relay } from '../../relay/main.js';
import { LockstepError } from '../../shared/errors.js';
import { checkUrl, defaultReconnectTimeoutMs } from '../../worker/main.js';
import { addRelayAccessOptions, readRelayTokens } from '../options/access-options.js';
import { portOption, wholeNumberOption } from '../options/number-options.js';
import { formatCount } from '../output/format.js';
import { noOutput, RateLimitedPrinter, standardOutput } from '../output/printer.js';
import { inexactLine, joinedLine, lostLine } from '../output/progress.js';
import { interruptedBy, onStopSignals } from '../process/stop-signals.js';
import { showConnection } from './connection-output.js';
import { describeListening } from './worker-command.js';

interface RelayOptionValues extends ServerTlsFiles {
  host: string;
  port: number;
  name?: string;
  cache?: string | false;
  reconnectTimeout: number;
  tlsCa?: string;
  quiet?: true;
}

export function configure(command: Command): void {
  command
    .description(
      'Start a relay, which computes slice ranges for a coordinator with workers of its own: it receives the weights once, ' +
        'passes them on, and sends one partial sum per range. Workers join it like a coordinator. It prints the command that ' +
        'starts a worker, and runs until the run ends. The trained weights do not depend on it.',
    )
    .argument('<URL>', 'URL of the coordinator: ws://HOST:PORT, or wss://HOST:PORT with TLS')
    .optionsGroup('Workers:')
    .option(
      '--host <ADDRESS>',
      'address to listen on; 0.0.0.0 for all IPv4 interfaces. Anything but a loopback address requires a token',
      '127.0.0.1',
    )
    .addOption(portOption('port to listen on; 0 for any free port').default(defaultPort))
    .optionsGroup('Relay:')
    .option('--name <NAME>', 'relay name that the coordinator shows (default: HOSTNAME-relay)')
    .option('--cache <DIR>', 'where to cache shards between runs (default: ~/.cache/lockstep/shards)')
    .option('--no-cache', 'do not cache shards on disk')
    .addOption(
      wholeNumberOption(
        '--reconnect-timeout <SECONDS>',
        'how long to keep retrying the connection to the coordinator',
        1,
      ).default(defaultReconnectTimeoutMs / 1000),
    );
  addRelayAccessOptions(command)
    .optionsGroup('Output:')
    .option('--quiet', 'print only errors')
    .action(async (url: string, options: RelayOptionValues) => {
      if (options.name === '') throw new LockstepError('bad-option', '--name is "": omit it, or give a name');
      await runRelay(checkUrl(url), options, readRelayTokens(command));
    });
}

async function runRelay(
  url: string,
  { cache, reconnectTimeout, quiet, ...rest }: RelayOptionValues,
  tokens: ReturnType<typeof readRelayTokens>,
): Promise<void> {
  const access = { ...rest, ...tokens };
  const relay = await startRelay({
    ...access,
    url,
    coordinatorToken: tokens.token,
    cache: cache === false ? null : cache,
    reconnectTimeoutMs: 1000 * reconnectTimeout,
  });
  const printer = new RateLimitedPrinter(quiet ? noOutput : standardOutput);
  printer.line(`${relay.name} is connecting to ${url}`);
  showEvents(relay, printer);
  relay.events.on('listening', (address) => printer.line(...describeListening(address, access)));
  const ignoreSignals = onStopSignals((signal) => relay.stop(interruptedBy(signal).message));
  const summary = await relay.done.finally(() => printer.endLive());
  ignoreSignals();
  printer.line(`${summary.reason}; ${formatCount(summary.images, 'image')} processed`);
  if (summary.reason.startsWith('interrupted')) throw new LockstepError('interrupted', summary.reason);
}

function showEvents({ events, workerEvents }: Relay, printer: RateLimitedPrinter): void {
  showConnection(events, 'relay', printer);
  workerEvents.on('worker-joined', (event) => printer.line(joinedLine(event)));
  workerEvents.on('worker-lost', (event) => printer.line(lostLine(event)));
  workerEvents.on('inexact', (event) => printer.line(inexactLine(event)));
  workerEvents.on('access', ({ message }) => printer.line(message));
  let images = 0;
  events.on('progress', (progress) => {
    images += progress.images;
    printer.live([`step ${progress.step + 1}`, `${formatCount(images, 'image')} processed`]);
  });
}
