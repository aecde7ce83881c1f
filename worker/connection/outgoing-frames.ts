// Memory for the partial sums that a worker sends, which is used again once they have been sent.
import { OutgoingFrame } from '../../shared/protocol/frame.js';

/** Maximum size in a header of what it says of a slice, and of what a worker contributed, without the worker's name. */
const [sliceBytes, contributionBytes] = [40, 160];
const maxBytesPerCodeUnit = 3;

export class OutgoingFrames {
  /** Memory of frames that have been sent. */
  readonly #sent: ArrayBuffer[] = [];

  /**
   * Returns a frame whose memory may contain an earlier message.
   * @param slices number of slices that the header describes
   * @param contributions what the header says of a relay's workers
   */
  take(payloadFloats: number, slices: number, contributions: readonly { name: string }[] = []): OutgoingFrame {
    const namesBytes = contributions.reduce((sum, { name }) => sum + name.length * maxBytesPerCodeUnit, 0);
    const listBytes = slices * sliceBytes + contributions.length * contributionBytes + namesBytes;
    return new OutgoingFrame(payloadFloats, listBytes, (bytes) => {
      const index = this.#sent.findIndex(({ byteLength }) => byteLength === bytes);
      return index === -1 ? new ArrayBuffer(bytes) : this.#sent.splice(index, 1)[0];
    });
  }

  /** Call this when the frame with this memory has been sent. */
  giveBack(memory: ArrayBuffer): void {
    this.#sent.push(memory);
  }
}
