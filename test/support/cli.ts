// Runs the built command line in a separate process, as a user would.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { builtFile } from '../../shared/built-file.js';

const cli = fileURLToPath(builtFile('../../cli.js', import.meta.url));

export interface CliProcess {
  child: ChildProcess;
  /** Returns everything written to stdout and stderr so far. */
  output(): string;
  /** Resolves with the match once the output contains the text; rejects if the process exits first. */
  says(text: string | RegExp): Promise<readonly string[]>;
  /** Resolves with the exit status, or with null if a signal ended the process. */
  exited: Promise<number | null>;
}

/** @param prefix words to put before the command, such as `nsenter …` */
export function startCli(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  prefix: readonly string[] = [],
): CliProcess {
  return startCommand([...prefix, process.execPath, cli, ...args], environment);
}

/** Starts any program. */
export function startCommand(command: readonly string[], environment: NodeJS.ProcessEnv = {}): CliProcess {
  return startProcess(command, environment, ['ignore', 'pipe', 'pipe']);
}

/** Starts a program from test/support with an IPC channel. */
export function startHelper(
  file: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  prefix: readonly string[] = [],
): CliProcess {
  const program = fileURLToPath(new URL(file, import.meta.url));
  return startProcess([...prefix, process.execPath, program, ...args], environment, ['ignore', 'pipe', 'pipe', 'ipc']);
}

function startProcess(command: readonly string[], environment: NodeJS.ProcessEnv, stdio: StdioOptions): CliProcess {
  const [program, ...rest] = command;
  const child = spawn(program, rest, { env: { ...process.env, ...environment }, stdio });
  let output = '';
  const collect = (text: string) => {
    output += text;
    child.emit('said');
  };
  child.stdout!.setEncoding('utf8').on('data', collect);
  child.stderr!.setEncoding('utf8').on('data', collect);
  const exited = once(child, 'close').then(([status]) => status as number | null);
  return {
    child,
    output: () => output,
    says: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const match = typeof text === 'string' ? (output.includes(text) ? [text] : null) : text.exec(output);
          if (match !== null) resolve(match);
        };
        child.on('said', look);
        child.once('close', () => reject(new Error(`the process exited without printing ${String(text)}:\n${output}`)));
        look();
      }),
    exited,
  };
}

/** Runs a command until it exits. */
export async function runCli(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<{ status: number | null; output: string }> {
  const process_ = startCli(args, environment);
  const status = await process_.exited;
  return { status, output: process_.output() };
}

const reportFile = z.looseObject({
  weightsSha256: z.string(),
  steps: z.number(),
  workersJoined: z.number(),
  workersLost: z.number(),
  slicesReassigned: z.number(),
  exact: z.boolean(),
  train: z.object({ loss: z.number(), accuracy: z.number() }),
  test: z.object({ loss: z.number(), accuracy: z.number() }),
});

export async function readReport(runDirectory: string): Promise<z.infer<typeof reportFile>> {
  return reportFile.parse(JSON.parse(await readFile(path.join(runDirectory, 'report.json'), 'utf8')));
}

/** Resolves when metrics.jsonl of a run contains at least this many steps. */
export async function stepsMade(runDirectory: string, count: number): Promise<void> {
  const file = path.join(runDirectory, 'metrics.jsonl');
  const isThere = async () => (await readFile(file, 'utf8')).split('"type":"step"').length > count;
  let changes = 0;
  const watcher = watch(file, () => changes++);
  try {
    // If the file changed while it was being read, that may have been the last change, so read the file again.
    for (let seen = 0; !(await isThere()); seen++) if (changes === seen) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}
