// The two messages that both sides of a connection send to show that they are alive: `heartbeat` and its reply. A worker
// handles them on the thread of its socket, so they are recognized here without the schemas of the other messages.
import { ProtocolError } from '../../errors.js';
import { decodeFrame, encodeFrame } from '../frame.js';
import type { HeartbeatMessage, HeartbeatReplyMessage } from '../messages.js';

/** Maximum size of a frame with a heartbeat or a reply, which takes 40 or 64 bytes as this side encodes them. */
const maxHeartbeatBytes = 128;

/** Returns the frame of a heartbeat or a reply. */
export function encodeHeartbeat(message: HeartbeatMessage | HeartbeatReplyMessage): Uint8Array {
  return encodeFrame(message);
}

/**
 * Returns the heartbeat or reply that a message contains. Returns undefined for any other message, and for an invalid
 * one: parseWorkerMessage and parseCoordinatorMessage then report what is wrong with it.
 */
export function heartbeatIn(message: Uint8Array): HeartbeatMessage | HeartbeatReplyMessage | undefined {
  if (message.byteLength > maxHeartbeatBytes) return undefined;
  const header = headerOf(message);
  if (typeof header !== 'object' || header === null || !('type' in header) || !hasTime(header, 'sentMs')) {
    return undefined;
  }
  const { sentMs } = header;
  const fields = Object.keys(header).length;
  if (header.type === 'heartbeat' && fields === 2) return { type: 'heartbeat', sentMs };
  if (header.type === 'heartbeat-reply' && fields === 3 && hasTime(header, 'repliedMs')) {
    return { type: 'heartbeat-reply', sentMs, repliedMs: header.repliedMs };
  }
  return undefined;
}

/** Returns the header of a message without a payload, not yet validated; undefined for any other message. */
function headerOf(message: Uint8Array): unknown {
  try {
    const { header, payload } = decodeFrame(message);
    return payload.byteLength === 0 ? header : undefined;
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

function hasTime<Key extends string>(header: object, key: Key): header is Record<Key, number> {
  return Number.isFinite((header as Partial<Record<Key, unknown>>)[key]);
}
