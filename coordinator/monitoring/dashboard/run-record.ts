// A run as its metrics.jsonl tells it, in bounded memory: curves, evaluations and the latest events.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { EvaluationPoint, EventLine } from '../../../shared/monitoring/messages.js';
import { StepHistory } from '../../../shared/monitoring/step-history.js';

/** Events that are kept: more than anybody scrolls through. */
const keptEvents = 300;

const metrics = { step: z.number(), epoch: z.number(), time: z.string(), loss: z.number(), accuracy: z.number() };
/** What is read of a line; lines of later versions may say more. */
const recordedLine = z.discriminatedUnion('type', [
  z.object({ type: z.literal('step'), ...metrics, learningRate: z.number(), imagesPerSecond: z.number() }),
  z.object({ type: z.literal('validation'), ...metrics }),
  z.object({ type: z.literal('test'), ...metrics }),
  z.object({ type: z.literal('event'), step: z.number(), time: z.string(), event: z.string(), detail: z.string() }),
]);
export type RecordedLine = z.infer<typeof recordedLine>;

export class RunRecord {
  readonly steps = new StepHistory();
  readonly evaluations: EvaluationPoint[] = [];
  #events: EventLine[] = [];
  #eventCount = 0;
  #firstEpochsSteps = 0;

  /** The latest ones. */
  get events(): readonly EventLine[] {
    return this.#events;
  }

  /** All there ever were. */
  get eventCount(): number {
    return this.#eventCount;
  }

  /** Those of the first epoch, as far as it has come. */
  get stepsPerEpoch(): number {
    return Math.max(1, this.#firstEpochsSteps);
  }

  add(line: RecordedLine): void {
    switch (line.type) {
      case 'step': {
        const { step, epoch, loss, accuracy, learningRate, imagesPerSecond } = line;
        if (epoch === 1) this.#firstEpochsSteps = Math.max(this.#firstEpochsSteps, step);
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
 * Adds the lines of a metrics.jsonl. What is no such line, like half of one at the end, is passed over. Reads in chunks, so
 * that nothing else waits long meanwhile.
 * @param bytes how much of the file is meant; all of it unless said
 */
export async function readMetrics(file: string, record: RunRecord, bytes = Infinity): Promise<void> {
  if (bytes === 0) return;
  const lines = createInterface({ input: createReadStream(file, { end: bytes - 1 }) });
  for await (const text of lines) {
    const line = parseLine(text);
    if (line !== undefined) record.add(line);
  }
}

function parseLine(text: string): RecordedLine | undefined {
  try {
    return recordedLine.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
