// "What time is it with you?", asked by a ping that carries the asker's time and answered by a pong of its own that carries
// both. Whoever does not know the question answers with a pong like any other, which tells no time.

const questionBytes = 8;
const answerBytes = 16;

/** What a ping carries. */
export function clockQuestion(nowMs: number): Buffer {
  const question = Buffer.alloc(questionBytes);
  question.writeDoubleLE(nowMs);
  return question;
}

/** What the pong carries that answers this ping; undefined where the ping asked for nothing. */
export function clockAnswer(ping: Buffer, nowMs: number): Buffer | undefined {
  if (ping.length !== questionBytes) return undefined;
  const answer = Buffer.alloc(answerBytes);
  ping.copy(answer);
  answer.writeDoubleLE(nowMs, questionBytes);
  return answer;
}

/** When was asked, by the asker's clock, and answered, by the other's; undefined for a pong that tells no time. */
export function readClockAnswer(pong: Buffer): { askedMs: number; toldMs: number } | undefined {
  if (pong.length !== answerBytes) return undefined;
  const [askedMs, toldMs] = [pong.readDoubleLE(0), pong.readDoubleLE(questionBytes)];
  return Number.isFinite(askedMs) && Number.isFinite(toldMs) ? { askedMs, toldMs } : undefined;
}
