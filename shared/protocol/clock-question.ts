// Clock queries in WebSocket pings: the ping carries the sender's time, and an extra pong answers with both times. Peers that
// do not know them send the usual pong, which carries no time.

const questionBytes = 8;
const answerBytes = 16;

/** Returns the data of a ping that queries the other side's clock. */
export function clockQuestion(nowMs: number): Buffer {
  const question = Buffer.alloc(questionBytes);
  question.writeDoubleLE(nowMs);
  return question;
}

/** Returns the data of the pong that answers a query, or undefined for any other ping. */
export function clockAnswer(ping: Buffer, nowMs: number): Buffer | undefined {
  if (ping.length !== questionBytes) return undefined;
  const answer = Buffer.alloc(answerBytes);
  ping.copy(answer);
  answer.writeDoubleLE(nowMs, questionBytes);
  return answer;
}

/** Reads an answer: when the query was sent, by this clock, and answered, by the other. Undefined for any other pong. */
export function readClockAnswer(pong: Buffer): { askedMs: number; toldMs: number } | undefined {
  if (pong.length !== answerBytes) return undefined;
  const [askedMs, toldMs] = [pong.readDoubleLE(0), pong.readDoubleLE(questionBytes)];
  return Number.isFinite(askedMs) && Number.isFinite(toldMs) ? { askedMs, toldMs } : undefined;
}
