// Counts the bytes of one connection, and measures their rate over the last seconds. Pure: the caller passes the time.

/** Length of the period that the rates cover, and the time between two of its samples. */
const windowMs = 10_000;
const sampleMs = 1_000;

export class Traffic {
  #sent = 0;
  #received = 0;
  readonly #samples: { ms: number; sent: number; received: number }[] = [];

  get bytesSent(): number {
    return this.#sent;
  }

  get bytesReceived(): number {
    return this.#received;
  }

  sent(bytes: number): void {
    this.#sent += bytes;
  }

  received(bytes: number): void {
    this.#received += bytes;
  }

  /** Notes the bytes so far. Call it about once a second; calls in between have no effect. */
  sample(nowMs: number): void {
    const latest = this.#samples.at(-1);
    if (latest !== undefined && nowMs - latest.ms < sampleMs) return;
    this.#samples.push({ ms: nowMs, sent: this.#sent, received: this.#received });
    // Keep the last sample before the period.
    while (this.#samples.length > 1 && nowMs - this.#samples[1].ms >= windowMs) this.#samples.shift();
  }

  /** Returns the rates since the oldest sample; 0 if that was less than a second ago. */
  perSecond(nowMs: number): { sent: number; received: number } {
    const oldest = this.#samples.at(0);
    if (oldest === undefined || nowMs - oldest.ms < sampleMs) return { sent: 0, received: 0 };
    const perSecond = (bytes: number) => (1000 * bytes) / (nowMs - oldest.ms);
    return { sent: perSecond(this.#sent - oldest.sent), received: perSecond(this.#received - oldest.received) };
  }
}
