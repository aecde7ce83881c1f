import { describe, expect, it } from 'vitest';
import { withFlags } from '../../../cli/output/flag-names.js';
import { lockstepProgram, withFlagsOfAllCommands } from '../../../cli/program.js';

describe('a message of the library, on the command line,', () => {
  it.each([
    ['`tlsCert` is given without `tlsKey`', '--tls-cert is given without --tls-key'],
    // Durations are in milliseconds in the API and in seconds on the command line.
    ['after 60 s (`waitTimeoutMs`)', 'after 60 s (--wait-timeout)'],
    ['`timeline.steps` is 5-3', '--timeline-steps is 5-3'],
    // --tf-mode has another name in the API.
    ['`tensorFlowMode` needs the tensorflow `engine`', '--tf-mode needs the tensorflow --engine'],
    // A Boolean option is named in its positive form, unless only the negative form exists.
    ['`augment` is false, and so is `dashboard`', '--augment is false, and so is --no-dashboard'],
    ['run `lockstep data download`, or set `stopGraceMs`', 'run `lockstep data download`, or set `stopGraceMs`'],
  ])('%s, names options by their flags', async (message, expected) => {
    expect(await withFlagsOfAllCommands(lockstepProgram(), message)).toBe(expected);
    expect(withFlags(message)).toBe(expected);
  });
});
