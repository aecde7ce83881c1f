// Memory for the partial sums that a worker sends, which is used again once they have been sent.
import { OutgoingFrame } from '../../shared/protocol/frame.js';

export class OutgoingFrames {
  /** Frames that have been sent. */
  readonly #sent: OutgoingFrame[] = [];

  /** Returns a frame whose memory may contain an earlier message. */
  take(payloadFloats: number, headerItems: number): OutgoingFrame {
    const index = this.#sent.findIndex(({ payload }) => payload.length === payloadFloats);
    return index === -1 ? new OutgoingFrame(payloadFloats, headerItems) : this.#sent.splice(index, 1)[0];
  }

  /** Call this when the frame has been sent. */
  giveBack(frame: OutgoingFrame): void {
    this.#sent.push(frame);
  }
}
