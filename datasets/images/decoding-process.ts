// A child process that decodes images: chunks of an import, or single ones.
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { builtFile } from '../../shared/built-file.js';
import type { ImageFit } from '../../shared/dataset/description.js';
import { LockstepError, type ErrorCode } from '../../shared/errors.js';
import type { Chunk, ChunkTask } from './chunk.js';
import type { DecodedImage, ImageSize, ImportReply, ImportRequest } from './import-messages.js';

/** Length of the end of a process's stderr that is kept, and of the part that an error quotes. */
const [maxErrorLength, maxQuotedLength] = [10_000, 500];

/** The process crashed while it was decoding a file. */
export class DecoderCrash extends Error {
  /** Index of the file in the chunk. */
  readonly file: number;
  constructor(file: number, how: string) {
    super(how);
    this.file = file;
  }
}

export class DecodingProcess {
  readonly #child: ChildProcess;
  readonly #ready: Promise<string>;
  /** Receives replies, and undefined when the process ends. */
  #onReply: (reply: ImportReply | undefined) => void = () => undefined;
  #errorText = '';

  constructor() {
    this.#child = fork(fileURLToPath(builtFile('import-process.js', import.meta.url)), {
      execArgv: [],
      // Transfers pixels as bytes.
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // In a process group of its own, so that Ctrl-C reaches only this process. If this process dies, the channel
      // closes, and the child ends.
      detached: true,
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errorText = (this.#errorText + text).slice(-maxErrorLength);
    });
    // Emitted if the process cannot be started, or if a message cannot be sent because it has ended.
    this.#child.on('error', () => this.#onReply(undefined));
    this.#child.on('close', () => this.#onReply(undefined));
    this.#child.on('message', (reply: ImportReply) => this.#onReply(reply));
    this.#ready = new Promise((resolve, reject) => {
      this.#onReply = (reply) => {
        if (reply?.type === 'ready') resolve(reply.decoder);
        else {
          reject(
            this.#failure(
              'setup-failed',
              'the process that decodes images did not start',
              'Its decoder is sharp, an optional dependency: install Lockstep again with `npm install --include=optional`',
            ),
          );
        }
      };
    });
    this.#ready.catch(() => undefined);
  }

  /** Resolves to the versions of the decoder when the process has loaded it. */
  get ready(): Promise<string> {
    return this.#ready;
  }

  /** Decodes a chunk. Throws DecoderCrash if a file crashed the process, which then cannot be used anymore. */
  async decode(task: ChunkTask, onProgress: (done: number) => void): Promise<Chunk> {
    await this.#ready;
    return new Promise((resolve, reject) => {
      let done = 0;
      this.#onReply = (reply) => {
        switch (reply?.type) {
          case 'progress':
            ({ done } = reply);
            return onProgress(done);
          case 'complete':
            return resolve(reply.chunk);
          case 'failed':
            return reject(new LockstepError('save-failed', `cannot write the imported images: ${reply.message}`));
          case 'ready':
          case 'image':
          case 'unreadable':
            return undefined;
          case undefined:
            return reject(this.#crash(done, task.files.length));
          default:
            return reply satisfies never;
        }
      };
      this.#send({ type: 'decode', task });
    });
  }

  /** Decodes one image. Returns the reason, in one line, if that is not possible. */
  async read(file: string, size: ImageSize, fit: ImageFit): Promise<{ image: DecodedImage } | { reason: string }> {
    await this.#ready;
    return new Promise((resolve, reject) => {
      this.#onReply = (reply) => {
        if (reply?.type === 'image') return resolve({ image: reply.image });
        if (reply?.type === 'unreadable') return resolve({ reason: reply.reason });
        const crash = this.#crash(0, 1);
        return crash instanceof DecoderCrash ? resolve({ reason: crash.message }) : reject(crash);
      };
      this.#send({ type: 'read', file, size, fit });
    });
  }

  #send(request: ImportRequest): void {
    this.#child.send(request);
  }

  kill(): void {
    this.#onReply = () => undefined;
    this.#child.kill('SIGKILL');
  }

  #crash(done: number, files: number): Error {
    const { signalCode } = this.#child;
    // The decoder does not kill its own process: more likely, the system is out of memory.
    if (signalCode === 'SIGKILL' || signalCode === 'SIGTERM' || done === files) {
      return this.#failure(
        'save-failed',
        'a process that decodes images was ended',
        'Run the command again to resume; with fewer `processes` it needs less memory',
      );
    }
    return new DecoderCrash(done, `crashes the decoder (${signalCode ?? `exit status ${this.#child.exitCode}`})`);
  }

  #failure(code: ErrorCode, what: string, remedy: string): LockstepError {
    const { signalCode, exitCode } = this.#child;
    const how = signalCode ?? `exit status ${exitCode}`;
    // An uncaught error is in the middle of what Node.js prints.
    const why = /^\w*Error: .*/m.exec(this.#errorText)?.[0] ?? this.#errorText.trim().slice(-maxQuotedLength);
    return new LockstepError(code, `${what} (${how})${why === '' ? '' : `: ${why}`}. ${remedy}`);
  }
}
