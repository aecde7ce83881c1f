// Selects the lines of metrics.jsonl that a resumed run keeps, so that its curves contain each step once. Pure.
import { z } from 'zod';
import { parseJson } from '../../shared/json.js';

const metricsLine = z.looseObject({ type: z.string(), step: z.number() });

/**
 * Returns the lines up to a checkpoint, and all events. The resumed run repeats later steps and evaluations, and also
 * the validation at the checkpoint's step if it came after saving. Drops lines that a crash left incomplete.
 * @param text content of metrics.jsonl
 */
export function truncateMetricsAt(text: string, checkpoint: { step: number; isValidated: boolean }): string {
  const kept = text.split('\n').filter((json) => {
    const line = metricsLine.safeParse(parseJson(json)).data;
    if (line === undefined) return false;
    if (line.type === 'event' || line.step < checkpoint.step) return true;
    return line.step === checkpoint.step && (line.type !== 'validation' || checkpoint.isValidated);
  });
  return kept.map((json) => `${json}\n`).join('');
}
