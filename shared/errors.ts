// The one error base of the project. Its code is stable: logs, tests and exit statuses depend on it, wording may change.

/** What went wrong, as a stable word. Grouped by who can mend it. */
export type ErrorCode =
  // the person at the command line: exit status 2
  | 'bad-option'
  | 'bad-config'
  | 'bad-data'
  | 'no-checkpoint'
  // nothing to do: exit status 0
  | 'already-finished'
  | 'no-engine'
  | 'not-built'
  | 'port-in-use'
  | 'bad-address'
  // the other side of a connection
  | 'protocol'
  | 'refused'
  | 'unreachable'
  // a run or a download that could not be finished: exit status 1
  | 'bad-checkpoint'
  | 'download-failed'
  | 'setup-failed'
  | 'engine-failed'
  | 'diverged'
  | 'workers-failed'
  | 'save-failed'
  | 'stuck'
  | 'bits-differ'
  // exit status 3
  | 'no-workers'
  | 'interrupted';

/** An error meant to be read by a person: its message names the field, the value and the remedy. */
export class LockstepError extends Error {
  override readonly name: string = 'LockstepError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A message from the network that the protocol does not allow. The connection it came from is closed. */
export class ProtocolError extends LockstepError {
  override readonly name = 'ProtocolError';
  constructor(message: string, options?: ErrorOptions) {
    super('protocol', message, options);
  }
}

/** The text of anything thrown, for a message that goes to a person. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Node's `code` of a system error (ENOENT, EADDRINUSE, …), or undefined. */
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
