// The project's error base class and its codes. Codes and exit statuses are stable; the wording of messages may change.

/** What went wrong, and the exit status that the command line ends with. */
export const exitStatuses = {
  // 0: there was nothing left to do
  'already-finished': 0,
  // 1: the command, run or connection failed
  'bad-address': 1,
  'bad-checkpoint': 1,
  'bits-differ': 1,
  diverged: 1,
  'download-failed': 1,
  'engine-failed': 1,
  'no-engine': 1,
  'not-built': 1,
  'port-in-use': 1,
  protocol: 1,
  refused: 1,
  'save-failed': 1,
  'setup-failed': 1,
  stuck: 1,
  unreachable: 1,
  'workers-failed': 1,
  // 2: an option, the configuration or the data is wrong; run again with other ones
  'bad-config': 2,
  'bad-data': 2,
  'bad-option': 2,
  'no-checkpoint': 2,
  // 3: too few workers
  'no-workers': 3,
  // 130: stopped by SIGINT or SIGTERM
  interrupted: 130,
};
export type ErrorCode = keyof typeof exitStatuses;

/** An error for people to read: its message names the field, its value and the remedy. */
export class LockstepError extends Error {
  override readonly name: string = 'LockstepError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A message that violates the protocol. The connection it came from is closed. */
export class ProtocolError extends LockstepError {
  override readonly name = 'ProtocolError';
  constructor(message: string, options?: ErrorOptions) {
    super('protocol', message, options);
  }
}

/** Returns the message of a thrown value of any type. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Returns the `code` of a Node.js system error (ENOENT, EADDRINUSE, …). */
export function systemCodeOf(thrown: unknown): string | undefined {
  const code: unknown = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** A handler for `catch`: replaces a file that does not exist by `value`, and rethrows any other error. */
export function ifMissing<Value>(value: Value): (error: unknown) => Value {
  return (error) => {
    if (systemCodeOf(error) === 'ENOENT') return value;
    throw error;
  };
}
