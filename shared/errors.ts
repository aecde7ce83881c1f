// The base class of the project's errors, and the error codes. Codes and exit statuses are stable; the wording of
// messages may change.

/** Error codes, each with the exit status of the command line. */
export const exitStatuses = {
  // 0: there is nothing left to do
  'already-finished': 0,
  // 1: the command, run or connection failed
  'bad-address': 1,
  'bad-checkpoint': 1,
  'bits-differ': 1,
  'device-lost': 1,
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
  // 2: an option, the configuration or the data is invalid; correct it and run again
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

/** Error meant for users. Its message names the field, its value and the remedy. */
export class LockstepError extends Error {
  override readonly name: string = 'LockstepError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The coordinator refused a worker. */
export class RefusedError extends LockstepError {
  override readonly name = 'RefusedError';
  /** Code of the refusal (see the protocol's messages). */
  readonly refusal: string;

  constructor(refusal: string, message: string) {
    super('refused', message);
    this.refusal = refusal;
  }
}

/** Violation of the protocol by the other side of a connection, which is then closed. */
export class ProtocolError extends LockstepError {
  override readonly name = 'ProtocolError';
  constructor(message: string, options?: ErrorOptions) {
    super('protocol', message, options);
  }
}

/** Whether an engine's device is lost, for example because its driver was restarted. The engine can open it again. */
export function isDeviceLost(error: unknown): boolean {
  return error instanceof LockstepError && error.code === 'device-lost';
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

/** Returns a handler for `catch` that returns `value` if a file does not exist, and rethrows any other error. */
export function ifMissing<Value>(value: Value): (error: unknown) => Value {
  return (error) => {
    if (systemCodeOf(error) === 'ENOENT') return value;
    throw error;
  };
}
