// Clock queries in WebSocket pings: the ping carries the sender's time, and an extra pong replies with the times of
// both sides. Peers that do not support clock queries send only the usual pong.

const queryBytes = 8;
const replyBytes = 16;

/** Returns the data of a ping that queries the other side's clock. */
export function clockQuery(nowMs: number): Buffer {
  const query = Buffer.alloc(queryBytes);
  query.writeDoubleLE(nowMs);
  return query;
}

/** Returns the data of the pong that replies to a query, or undefined for any other ping. */
export function clockReply(ping: Buffer, nowMs: number): Buffer | undefined {
  if (ping.length !== queryBytes) return undefined;
  const reply = Buffer.alloc(replyBytes);
  ping.copy(reply);
  reply.writeDoubleLE(nowMs, queryBytes);
  return reply;
}

/**
 * Reads a reply: the time at which the query was sent, by this side's clock, and the time of the reply, by the other
 * side's clock. Returns undefined for any other pong.
 */
export function readClockReply(pong: Buffer): { sentMs: number; repliedMs: number } | undefined {
  if (pong.length !== replyBytes) return undefined;
  const [sentMs, repliedMs] = [pong.readDoubleLE(0), pong.readDoubleLE(queryBytes)];
  return Number.isFinite(sentMs) && Number.isFinite(repliedMs) ? { sentMs, repliedMs } : undefined;
}
