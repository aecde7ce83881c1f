// Runs a command that measures training steps, and reads its result.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { Subject } from './options.js';

/** Number of lines of a failed command's output to show. */
const shownLines = 15;

export interface PeerResult {
  imagesPerSecond: number;
  /** Software and device, if the command names them. */
  versions: string;
}

/** Throws `bad-option` if the command cannot be run, fails, or prints no result. */
export async function measure({ name, command, environment }: Subject): Promise<PeerResult> {
  const [program, ...args] = command;
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  const fail = (problem: string, output = ''): never => {
    const shown = output.trimEnd().split('\n').slice(-shownLines).join('\n');
    throw new LockstepError('bad-option', `${name}: ${problem}\n  ${command.join(' ')}${shown && `\n${shown}`}`);
  };
  let status: number | string;
  let [stdout, stderr] = ['', ''];
  try {
    const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    const [[code, signal], ...outputs] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
    status = code ?? signal ?? '';
    [stdout, stderr] = outputs;
  } catch (error) {
    return fail(`cannot run ${program} (${messageOf(error)})`);
  }
  if (status !== 0) return fail(`the command ended with status ${status}`, stderr);
  return resultIn(stdout) ?? fail('the last line of the output is not JSON with imagesPerSecond', stderr || stdout);
}

function resultIn(output: string): PeerResult | undefined {
  const last = output.trimEnd().split('\n').at(-1) ?? '';
  let fields: Record<string, unknown>;
  try {
    fields = { ...(JSON.parse(last) as object) };
  } catch {
    return undefined;
  }
  const { imagesPerSecond, fingerprint, peer, device } = fields;
  if (typeof imagesPerSecond !== 'number' || !(imagesPerSecond > 0)) return undefined;
  // A fingerprint already contains what an engine's bits depend on.
  const versions = typeof fingerprint === 'string' ? [fingerprint] : [peer, device];
  return { imagesPerSecond, versions: versions.filter((version) => typeof version === 'string').join(', ') };
}
