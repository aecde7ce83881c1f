// Loaded with --import, this kills the process with SIGKILL just before it opens a file, or renames one, whose path matches
// LOCKSTEP_TEST_DIE_AT: "open PATTERN" or "rename PATTERN", where PATTERN is a regular expression for the target.
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const [action, pattern] = (process.env['LOCKSTEP_TEST_DIE_AT'] ?? '').split(' ');
const targetOf = { open: ([file]) => file, rename: ([, to]) => to };
if (action in targetOf) {
  const real = fs[action];
  fs[action] = (...args) => {
    if (new RegExp(pattern).test(String(targetOf[action](args)))) process.kill(process.pid, 'SIGKILL');
    return real(...args);
  };
  syncBuiltinESMExports();
}
