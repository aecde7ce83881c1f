// Memory for the partial sums that a worker sends, which is used again once they have been sent.
import { OutgoingFrame } from '../../shared/protocol/frame.js';

export class OutgoingFrames {
  /** Memory of frames that have been sent. */
  readonly #sent: ArrayBuffer[] = [];

  /** Returns a frame whose memory may contain an earlier message. */
  take(payloadFloats: number, headerItems: number): OutgoingFrame {
    return new OutgoingFrame(payloadFloats, headerItems, (bytes) => {
      const index = this.#sent.findIndex(({ byteLength }) => byteLength === bytes);
      return index === -1 ? new ArrayBuffer(bytes) : this.#sent.splice(index, 1)[0];
    });
  }

  /** Call this when the frame with this memory has been sent. */
  giveBack(memory: ArrayBuffer): void {
    this.#sent.push(memory);
  }
}
