// What setting up TensorFlow asks of the machine: programs, disk space, and what kind of machine it is.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '../../../../shared/errors.js';

/** A program to run. Its words are never read by a shell. */
export interface Tool {
  program: string;
  args: readonly string[];
  cwd?: string;
  /** Added to this process's environment. */
  env?: Readonly<Record<string, string>>;
}

export interface ToolResult {
  /** 0: success; null: it did not start, or a signal ended it. */
  exitStatus: number | null;
  standardOutput: string;
  /** Both streams in the order in which they came. */
  output: string;
}

export interface ToolOptions {
  /** A file that the output is added to. */
  logFile?: string;
  /** The tool has this process's terminal for its own progress bar; no output is kept then. */
  ownsTerminal?: boolean;
}

/** Tests stand in for it. */
export interface SetupHost {
  platform: NodeJS.Platform;
  architecture: string;
  /** Undefined where the C library is another one. */
  glibcVersion: string | undefined;
  isTerminal: boolean;
  run(tool: Tool, options?: ToolOptions): Promise<ToolResult>;
  /** Bytes that can be written in the folder, which need not exist yet. */
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

/** As a person would type it. */
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
    // It did not start: once rejects with the child's error event.
    return { ...result, output: messageOf(error) };
  } finally {
    log?.end();
  }
}
