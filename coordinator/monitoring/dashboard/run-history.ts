// A run's history as recorded in metrics.jsonl, in bounded memory: curves, evaluations, and the latest events.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { parseJson } from '../../../shared/json.js';
import type { EvaluationPoint, EventLine } from '../../../shared/monitoring/messages.js';
import { StepHistory } from '../../../shared/monitoring/step-history.js';

/** Number of latest events always kept; more than a user is likely to scroll through. */
const keptEvents = 300;

const metrics = { step: z.number(), epoch: z.number(), time: z.string(), loss: z.number(), accuracy: z.number() };
/** Schema of a line, limited to the fields that are read. Later versions may write more fields. */
const historyLine = z.discriminatedUnion('type', [
  z.object({ type: z.literal('step'), ...metrics, learningRate: z.number(), imagesPerSecond: z.number() }),
  z.object({ type: z.literal('validation'), ...metrics }),
  z.object({ type: z.literal('test'), ...metrics }),
  z.object({ type: z.literal('event'), step: z.number(), time: z.string(), event: z.string(), detail: z.string() }),
]);
export type HistoryLine = z.infer<typeof historyLine>;

export class RunHistory {
  readonly steps = new StepHistory();
  readonly evaluations: EvaluationPoint[] = [];
  #events: EventLine[] = [];
  #eventCount = 0;
  #stepsPerEpoch = 1;

  /** The latest events, oldest first. */
  get events(): readonly EventLine[] {
    return this.#events;
  }

  /** Total number of events, including those no longer kept. */
  get eventCount(): number {
    return this.#eventCount;
  }

  /** Number of steps in the first epoch so far; at least 1. */
  get stepsPerEpoch(): number {
    return this.#stepsPerEpoch;
  }

  add(line: HistoryLine): void {
    switch (line.type) {
      case 'step': {
        const { step, epoch, loss, accuracy, learningRate, imagesPerSecond } = line;
        if (epoch === 1) this.#stepsPerEpoch = Math.max(this.#stepsPerEpoch, step);
        this.steps.add({ step, loss, accuracy, learningRate, imagesPerSecond });
        break;
      }
      case 'validation':
      case 'test': {
        const { type, step, loss, accuracy } = line;
        this.evaluations.push({ split: type, step, loss, accuracy });
        break;
      }
      case 'event': {
        const { step, time, event, detail } = line;
        this.#events.push({ step, time, event, detail });
        this.#eventCount++;
        if (this.#events.length >= 2 * keptEvents) this.#events = this.#events.slice(-keptEvents);
        break;
      }
      default:
        line satisfies never;
    }
  }
}

/**
 * Reads a metrics.jsonl file. Skips invalid lines, such as an incomplete last line. Reads in chunks so that a long file
 * does not block the event loop.
 * @param bytes maximum number of bytes to read; the whole file by default
 */
export async function readHistory(file: string, bytes = Infinity): Promise<RunHistory> {
  const history = new RunHistory();
  if (bytes === 0) return history;
  const lines = createInterface({ input: createReadStream(file, { end: bytes - 1 }) });
  for await (const text of lines) {
    const line = historyLine.safeParse(parseJson(text)).data;
    if (line !== undefined) history.add(line);
  }
  return history;
}
