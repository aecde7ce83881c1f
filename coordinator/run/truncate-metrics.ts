// What stays of metrics.jsonl when a run is resumed, so that a curve has each step once. Pure.
import { z } from 'zod';

const line = z.looseObject({ type: z.string(), step: z.number() });

/**
 * The lines up to a checkpoint. Steps and evaluations behind it will be made again, and so will its own validation if it
 * was saved before that; events have happened and stay. What a crash left of a line goes.
 * @param text the whole file
 */
export function truncateMetricsAt(text: string, checkpoint: { step: number; isValidated: boolean }): string {
  const staying = text.split('\n').filter((json) => {
    const parsed = line.safeParse(parseOrUndefined(json)).data;
    if (parsed === undefined) return false;
    const { type, step } = parsed;
    if (type === 'event' || step < checkpoint.step) return true;
    return step === checkpoint.step && (type !== 'validation' || checkpoint.isValidated);
  });
  return staying.map((json) => `${json}\n`).join('');
}

function parseOrUndefined(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
