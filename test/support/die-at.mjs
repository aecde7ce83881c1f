// Preload this module with --import. It kills the process with SIGKILL just before a file is opened or renamed, as set
// by LOCKSTEP_TEST_DIE_AT: "open PATTERN" or "rename PATTERN", where PATTERN is a regular expression that matches the
// target path.
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
