// oneDNN is TensorFlow's library of CPU kernels. When it loads, TensorFlow decides whether to use it: by
// TF_ENABLE_ONEDNN_OPTS or, if that is not set, by the CPU. This file chooses the variable's value and predicts the
// decision; load.ts sets the variable.

/** TensorFlow's variable. It understands `0`, `false`, `1` and `true`, in any case, and ignores other values. */
export const oneDnnVariable = 'TF_ENABLE_ONEDNN_OPTS';

/**
 * Instruction sets, named as in /proc/cpuinfo. TensorFlow on Linux uses oneDNN by default if the CPU has at least one of
 * them: see DefaultOneDnnPolicy in tensorflow/core/util/port.cc (TensorFlow 2.21).
 */
export const setsWithOneDnnByDefault = [
  'avx512_vnni',
  'avx512_bf16',
  'avx_vnni',
  'amx_tile',
  'amx_int8',
  'amx_bf16',
] as const;

export interface OneDnnState {
  isOn: boolean;
  /** Whether TensorFlow turns oneDNN on for this CPU by itself. */
  isOnByDefault: boolean;
}

/**
 * Returns the value of the variable to load TensorFlow with: the user's, or else `1`.
 * @param instructionSets of the CPU, or null if unknown, which leaves the choice to TensorFlow: its rule for x86 Linux,
 *   the only one known here, does not apply elsewhere
 */
export function chooseOneDnn(
  userValue: string | undefined,
  instructionSets: readonly string[] | null,
): string | undefined {
  return userValue || (instructionSets === null ? undefined : '1');
}

/** Returns whether TensorFlow uses oneDNN if it loads with this value of the variable; null if unknown. */
export function oneDnnState(value: string | undefined, instructionSets: readonly string[] | null): OneDnnState | null {
  if (instructionSets === null) return null;
  const isOnByDefault = setsWithOneDnnByDefault.some((name) => instructionSets.includes(name));
  return { isOn: parseBoolean(value) ?? isOnByDefault, isOnByDefault };
}

/** Parses a variable as TensorFlow does. Returns undefined for values that TensorFlow does not understand. */
function parseBoolean(value: string | undefined): boolean | undefined {
  const lowerCase = value?.toLowerCase();
  if (lowerCase === '1' || lowerCase === 'true') return true;
  if (lowerCase === '0' || lowerCase === 'false') return false;
  return undefined;
}

/**
 * Returns the words for the fingerprint, which states whether oneDNN is on, not how it was set. Returns none if it is on
 * and TensorFlow would turn it on by itself: the fingerprint is then the one from before Lockstep set the variable.
 */
export function describeOneDnn({ isOn, isOnByDefault }: OneDnnState): string[] {
  if (!isOn) return ['without oneDNN'];
  return isOnByDefault ? [] : ['with oneDNN'];
}
