// The machine on which TensorFlow is installed: platform, programs and disk space.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '../../../../shared/errors.js';

/** A program to run directly, without a shell. */
export interface Tool {
  program: string;
  args: readonly string[];
  cwd?: string;
  /** Variables to add to the environment of this process. */
  env?: Readonly<Record<string, string>>;
}

export interface ToolResult {
  /** Exit status, 0 for success; null if the program did not start or was terminated by a signal. */
  exitStatus: number | null;
  standardOutput: string;
  /** Standard output and standard error, interleaved. */
  output: string;
}

export interface ToolOptions {
  /** File to append the output to. */
  logFile?: string;
  /** Let the tool draw its progress bar on the terminal. Its output is not captured in this case. */
  ownsTerminal?: boolean;
}

export interface SetupHost {
  platform: NodeJS.Platform;
  architecture: string;
  /** Version of glibc; undefined for other C libraries. */
  glibcVersion: string | undefined;
  isTerminal: boolean;
  run(tool: Tool, options?: ToolOptions): Promise<ToolResult>;
  /** Returns the number of free bytes on the disk that contains a folder. The folder need not exist yet. */
  freeBytes(folder: string): Promise<number>;
  exists(path: string): boolean;
}

export function thisMachine(): SetupHost {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return {
    platform: process.platform,
    architecture: process.arch,
    glibcVersion: report.header?.glibcVersionRuntime,
    isTerminal: process.stdout.isTTY,
    run: runTool,
    freeBytes: async (folder) => {
      let existing = folder;
      while (!existsSync(existing)) existing = dirname(existing);
      const { bavail, bsize } = await statfs(existing);
      return bavail * bsize;
    },
    exists: existsSync,
  };
}

/** Formats a tool as a command line for a shell. */
export function shellLine({ program, args, cwd, env }: Tool): string {
  const quoted = [program, ...args].map((word) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`,
  );
  const settings = Object.entries(env ?? {}).map(([name, value]) => `${name}=${value}`);
  return [...(cwd === undefined ? [] : [`cd ${cwd} &&`]), ...settings, ...quoted].join(' ');
}

async function runTool(tool: Tool, options: ToolOptions = {}): Promise<ToolResult> {
  const log = options.logFile === undefined ? null : createWriteStream(options.logFile, { flags: 'a' });
  log?.write(`\n$ ${shellLine(tool)}\n`);
  const child = spawn(tool.program, tool.args, {
    cwd: tool.cwd,
    env: { ...process.env, ...tool.env },
    stdio: options.ownsTerminal ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  const result: ToolResult = { exitStatus: null, standardOutput: '', output: '' };
  child.stdout?.on('data', (bytes: Buffer) => {
    result.standardOutput += bytes.toString();
    result.output += bytes.toString();
    log?.write(bytes);
  });
  child.stderr?.on('data', (bytes: Buffer) => {
    result.output += bytes.toString();
    log?.write(bytes);
  });
  try {
    const [exitStatus] = (await once(child, 'close')) as [number | null];
    return { ...result, exitStatus };
  } catch (error) {
    // The tool did not start. In this case, once() rejects because of the child's error event.
    return { ...result, output: messageOf(error) };
  } finally {
    log?.end();
  }
}
