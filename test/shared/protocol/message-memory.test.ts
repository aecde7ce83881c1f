import { describe, expect, it } from 'vitest';
import { MessageMemory } from '../../../shared/protocol/message-memory.js';
import { ownMemoryOf } from '../../../shared/protocol/own-memory.js';

describe('MessageMemory', () => {
  it('returns memory that was given back for a message of about the same size', () => {
    const memory = new MessageMemory();
    const first = memory.take(100_000);
    expect([first.length, first.byteOffset, first.buffer.byteLength]).toEqual([100_000, 0, 131_072]);
    expect(memory.take(100_000).buffer).not.toBe(first.buffer);
    memory.giveBack(first.buffer as ArrayBuffer);
    // 131,072 bytes are too few for the first and more than twice the second.
    expect(memory.take(140_000).buffer).not.toBe(first.buffer);
    expect(memory.take(65_000).buffer).not.toBe(first.buffer);
    expect(memory.take(100_008).buffer).toBe(first.buffer);
  });

  it('keeps the most recent buffers', () => {
    const memory = new MessageMemory(1);
    const [first, second] = [memory.take(100_000), memory.take(100_000)];
    memory.giveBack(first.buffer as ArrayBuffer);
    memory.giveBack(second.buffer as ArrayBuffer);
    expect(memory.take(100_000).buffer).toBe(second.buffer);
    expect(memory.take(100_000).buffer).not.toBe(first.buffer);
  });
});

describe('ownMemoryOf', () => {
  it('is undefined for a message that is part of a chunk, and for shared memory', () => {
    const chunk = new ArrayBuffer(65_536);
    expect(ownMemoryOf(new Uint8Array(chunk, 0, 65_535))).toBeUndefined();
    expect(ownMemoryOf(new Uint8Array(chunk))).toBe(chunk);
    expect(ownMemoryOf(new Uint8Array(new SharedArrayBuffer(65_536)))).toBeUndefined();
  });
});
