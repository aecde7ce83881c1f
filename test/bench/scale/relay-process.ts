// A relay of the scale benchmark, which reports its costs.
import { once } from 'node:events';
import { setV8Flags } from '../../../cli/process/v8-flags.js';
import { startRelay, type RelayAddress } from '../../../relay/main.js';
import type { RelayResult } from './measure-run.js';

// As in the processes of the command line.
setV8Flags();

const relay = await startRelay({ url: process.argv[2], name: `relay-${process.pid}`, port: 0, cache: null });
const [{ url }] = (await once(relay.events, 'listening')) as [RelayAddress];
process.send!(url);
await once(relay.events, 'progress');
const before = process.cpuUsage();
// The relay may have missed the coordinator's goodbye.
const end = once(process, 'message').then(() => relay.stop('the run has ended'));
await relay.done;
const { user, system } = process.cpuUsage(before);
const result: RelayResult = { cpuMs: (user + system) / 1000, peakBytes: process.resourceUsage().maxRSS * 1024 };
process.send!(result);
// The channel stays open until the parent has used it.
await end;
process.disconnect();
