// The engine that tests of whole processes use, or a printed reason why they skip.
import type { EngineName } from '../../worker/engines/open.js';
import { openTensorFlowOrReason } from './tensorflow.js';

export async function engineForProcesses(): Promise<EngineName | undefined> {
  const opened = await openTensorFlowOrReason();
  if (typeof opened === 'string') {
    process.stdout.write(`skipped: tests of whole processes need an engine: ${opened}\n`);
    return undefined;
  }
  await opened.close();
  return 'tensorflow';
}
