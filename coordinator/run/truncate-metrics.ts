// Which lines of metrics.jsonl a resumed run keeps, so that its curves have each step once. Pure.
import { z } from 'zod';
import { parseJson } from '../../shared/parse-json.js';

const metricsLine = z.looseObject({ type: z.string(), step: z.number() });

/**
 * Keeps the lines up to a checkpoint, and all events. The resumed run makes later steps and evaluations again, and also the
 * checkpoint's own validation if that came after saving. Drops lines that a crash left incomplete.
 * @param text the content of metrics.jsonl
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
