// Checks, in a separate process, whether a compiled binding can be loaded and computes correctly.
import { z } from 'zod';
import { messageOf } from '../../../../shared/errors.js';
import type { SetupHost, Tool } from './setup-host.js';

export type BindingCheck = { works: true; tensorFlow: string; usesGpu: boolean } | { works: false; reason: string };

/**
 * Returns a command that computes a convolution with a known result: an 8×8 image of ones with 3 channels, and a 3×3
 * filter of ones with 2 output channels. The sum of the output is 2904.
 */
export function bindingCheckTool(packageName: string, folder: string): Tool {
  const script = `
    const util = require('node:util');
    util.isNullOrUndefined = (value) => value == null;
    util.isArray = Array.isArray;
    const tf = require('${packageName}');
    const sum = tf.conv2d(tf.ones([1, 8, 8, 3]), tf.ones([3, 3, 3, 2]), 1, 'same').sum().dataSync()[0];
    const { binding, isUsingGpuDevice } = tf.backend();
    console.log(JSON.stringify({ sum, tensorFlow: binding.TF_Version, usesGpu: isUsingGpuDevice }));`;
  const oneLine = script.trim().replaceAll(/\n\s*/g, ' ');
  return { program: process.execPath, args: ['-e', oneLine], cwd: folder, env: { TF_CPP_MIN_LOG_LEVEL: '1' } };
}

/** Checks the binding of a package. @param folder the folder whose node_modules contains the package */
export async function checkBinding(
  packageName: string,
  folder: string,
  host: SetupHost,
  logFile?: string,
): Promise<BindingCheck> {
  const { exitStatus, standardOutput, output } = await host.run(
    bindingCheckTool(packageName, folder),
    logFile === undefined ? {} : { logFile },
  );
  if (exitStatus !== 0) return { works: false, reason: lastLines(output) };
  try {
    const { sum, tensorFlow, usesGpu } = checkOutput.parse(JSON.parse(standardOutput));
    if (sum !== 2904) return { works: false, reason: `a convolution sums to ${sum} instead of 2904` };
    return { works: true, tensorFlow, usesGpu };
  } catch (error) {
    return { works: false, reason: messageOf(error) };
  }
}

const checkOutput = z.object({ sum: z.number(), tensorFlow: z.string(), usesGpu: z.boolean() });

/** Returns the last lines of a tool's output, for error messages. */
export function lastLines(output: string): string {
  const lines = output.trimEnd().split('\n').slice(-15);
  return lines.map((line) => `  ${line}`).join('\n');
}
