// Attacks by a hostile coordinator on a worker, each with the reason that the worker gives when it closes the
// connection.
import { Packr } from 'msgpackr';
import { cifar10Format } from '../../shared/dataset/cifar10-layout.js';
import { encodeFrame } from '../../shared/protocol/frame.js';
import { maxShardBytes } from '../../shared/protocol/messages.js';
import { sha256Of } from '../../shared/sha256.js';
import { network, shards, shardImages, welcome, weightsBytes, type Script } from './scripted-coordinator.js';

const { recordBytes } = cifar10Format;

const packr = new Packr({ useRecords: false });
const firstShard = shards[0];
export const oneGiB = 1024 ** 3;
const floats = (count: number) => new Uint8Array(4 * count);
const shard = (bytes: number, index = 0) => ({ ...firstShard, bytes, index });

/** Returns a frame with arbitrary bytes as its header. */
function framed(header: Uint8Array, claimedBytes = header.length): Buffer {
  const frame = Buffer.alloc(Math.ceil((4 + header.length) / 8) * 8);
  frame.writeUInt32LE(claimedBytes, 0);
  frame.set(header, 4);
  return frame;
}

/** Sends a welcome with some fields changed. @param measuredBytes number of bytes before the network */
export const welcoming =
  (fields: Record<string, unknown>, measuredBytes = 0): Script =>
  (peer) =>
    peer.lie({ ...welcome, ...fields }, new Uint8Array(measuredBytes), network);
/** Sends a welcome with some fields of the configuration changed. */
export const configured = (fields: Record<string, unknown>, measuredBytes = 0) =>
  welcoming({ config: { ...welcome.config, ...fields } }, measuredBytes);
/** Sends a welcome with some fields of the description of the images changed. */
const describing = (fields: Record<string, unknown>) => welcoming({ dataset: { ...welcome.dataset, ...fields } });
/** Sends a welcome with another network: these bytes, or the JSON of this value. */
function welcomingNetwork(graph: unknown): Script {
  const bytes = graph instanceof Uint8Array ? graph : Buffer.from(JSON.stringify(graph));
  return (peer) => peer.lie({ ...welcome, networkBytes: bytes.length }, bytes);
}
/** A network of one dense layer, with attributes of another node before it. */
const withNode = (node: Record<string, unknown>) => ({
  name: 'hostile',
  nodes: [
    { name: 'first', inputs: ['input'], ...node },
    { name: 'flat', op: 'flatten', inputs: ['first'] },
    { name: 'dense', op: 'dense', inputs: ['flat'], units: 'classes' },
  ],
});
const conv = { op: 'conv2d', filters: 8, kernelSize: 3 };
/** Runs a script after a correct welcome and the choice of the engine. */
export const afterWelcome =
  (script: Script): Script =>
  (peer) => {
    peer.say(welcome, network);
    peer.sayEngine();
    return script(peer);
  };
const afterWeights = (script: Script) =>
  afterWelcome((peer) => {
    peer.sayWeights();
    return script(peer);
  });
const computing = (first: number, count: number) =>
  afterWeights((peer) => peer.lie({ type: 'compute', step: 0, ranges: [{ first, count }] }));
/** Answers the first shard request with the given chunks. */
const answering = (...chunks: { offset: number; bytes: Uint8Array; sha256?: string }[]) =>
  afterWelcome(async (peer) => {
    peer.say({ type: 'prefetch', sha256: firstShard.sha256 });
    await peer.hear('shard-request');
    for (const { offset, bytes, sha256 = firstShard.sha256 } of chunks) {
      peer.say({ type: 'shard-chunk', sha256, offset }, bytes);
    }
  });
/** Requests a slice in a run whose only shard holds the given records, with the correct hash. */
const computingOn =
  (records: Uint8Array): Script =>
  async (peer) => {
    const sha256 = sha256Of(records);
    peer.say({ ...welcome, shards: [{ split: 'training', index: 0, sha256, bytes: records.length }] }, network);
    peer.sayEngine();
    peer.sayWeights();
    peer.say({ type: 'compute', step: 0, ranges: [{ first: 0, count: 1 }] });
    await peer.hear('shard-request');
    peer.say({ type: 'shard-chunk', sha256, offset: 0 }, records);
  };
const invalidLabel = Buffer.from(shardImages[0]);
invalidLabel[recordBytes] = 200;

export type Attack = [name: string, reason: RegExp, script: Script];

/**
 * Attacks by name, each with its script and the reason for which the worker must close the connection. The worker then
 * reconnects.
 */
export const attacks: readonly Attack[] = [
  [
    'a path instead of a shard hash in the welcome',
    /shards\.0\.sha256/,
    welcoming({ shards: [{ ...firstShard, sha256: '../../x' }] }),
  ],
  [
    'a path instead of a shard hash in a prefetch',
    /prefetch.*sha256/,
    afterWelcome((peer) => peer.lie({ type: 'prefetch', sha256: '../../x' })),
  ],
  [
    'a path instead of a shard hash in a chunk',
    /shard-chunk.*sha256/,
    afterWelcome((peer) => peer.lie({ type: 'shard-chunk', sha256: '/etc/x', offset: 0 }, floats(1))),
  ],
  ['a path instead of a split', /shards\.0\.split/, welcoming({ shards: [{ ...firstShard, split: '../x' }] })],
  ['a run id that is too long', /runId/, welcoming({ runId: '../'.repeat(100) })],

  [
    'a chunk that was not requested',
    /bytes 0 to 4 of shard .* were not requested/,
    afterWelcome((peer) => peer.say({ type: 'shard-chunk', sha256: firstShard.sha256, offset: 0 }, floats(1))),
  ],
  [
    'a chunk of another shard',
    /were not requested/,
    answering({ offset: 0, bytes: floats(1), sha256: shards[1].sha256 }),
  ],
  [
    'a chunk at a wrong offset',
    /bytes 8 to 12 of shard .* were not requested/,
    answering({ offset: 8, bytes: floats(1) }),
  ],
  [
    'a chunk sent twice',
    /bytes 0 to 4 of shard .* were not requested/,
    answering({ offset: 0, bytes: shardImages[0].subarray(0, 4) }, { offset: 0, bytes: floats(1) }),
  ],
  [
    'a chunk longer than the shard',
    /bytes 0 to 6150 of shard .* were not requested/,
    answering({ offset: 0, bytes: new Uint8Array(6150) }),
  ],
  ['an empty chunk', /bytes 0 to 0 of shard .* were not requested/, answering({ offset: 0, bytes: new Uint8Array(0) })],
  [
    'data that does not match its hash',
    /data of shard .* does not match its hash/,
    answering({ offset: 0, bytes: shardImages[1] }),
  ],
  [
    'endless chunks',
    /were not requested/,
    afterWelcome(async (peer) => {
      const { sha256 } = firstShard;
      // Every message uses the same frame, so that only the worker could run this process out of memory.
      const chunk = encodeFrame({ type: 'shard-chunk', sha256, offset: 0 }, Buffer.alloc(1 << 20));
      for (let sent = 0; peer.isOpen && sent < oneGiB; sent += chunk.length) {
        await new Promise((resolve) => peer.socket.send(chunk, resolve));
      }
      if (peer.isOpen) throw new Error('the worker accepted 1 GiB of chunks that it had not requested');
    }),
  ],
  [
    'a prefetch of a shard that is not in the welcome',
    /shard f{64} is not in the welcome/,
    afterWelcome((peer) => peer.say({ type: 'prefetch', sha256: 'f'.repeat(64) })),
  ],

  ['images that are too large', /dataset\.height/, describing({ height: 225 })],
  ['images without pixels', /dataset\.width/, describing({ width: 0 })],
  ['images with two channels', /dataset\.channels/, describing({ channels: 2 })],
  ['no classes', /dataset\.classNames/, describing({ classNames: [] })],
  ['too many classes', /dataset\.classNames/, describing({ classNames: Array(65_536).fill('a') })],
  ['a class with a long name', /dataset\.classNames\.1/, describing({ classNames: ['a', 'b'.repeat(201)] })],
  [
    'class names that are too long together',
    /dataset\.classNames/,
    describing({ classNames: Array(9000).fill('a'.repeat(90)) }),
  ],
  [
    'a header of more than 1 MiB',
    /claims a header of \d+ bytes/,
    describing({ classNames: Array(9000).fill('a'.repeat(190)) }),
  ],
  ['a description with an unknown field', /dataset: Unrecognized key/, describing({ depth: 3 })],
  ['shards of other images', /not a multiple of the record size of 1025 bytes/, describing({ channels: 1 })],

  ['a network that is not JSON', /the graph is not valid JSON/, welcomingNetwork(Buffer.from('{"name"'))],
  [
    'a network of bytes that are not text',
    /the graph is not valid JSON/,
    welcomingNetwork(new Uint8Array([0xff, 0xfe])),
  ],
  ['a network without nodes', /nodes is missing/, welcomingNetwork({ name: 'empty' })],
  [
    'a network nested very deeply',
    /node number 1: it must be an object/,
    welcomingNetwork(Buffer.from(`{"name":"deep","nodes":${'['.repeat(1e6)}${']'.repeat(1e6)}}`)),
  ],
  ['a network of more than 4 MiB', /networkBytes/, welcomingNetwork(Buffer.alloc((1 << 22) + 1, ' '))],
  ['an unknown operation', /node "first": op is "eval": it must be one of/, welcomingNetwork(withNode({ op: 'eval' }))],
  [
    'an unknown attribute',
    /node "first": unknown attribute "code"/,
    welcomingNetwork(withNode({ ...conv, code: '1' })),
  ],
  [
    'an excessive number of filters',
    /node "first": filters is 1000000000/,
    welcomingNetwork(withNode({ ...conv, filters: 1e9 })),
  ],
  [
    'an excessive number of weights',
    /has \d+ weights and moving statistics/,
    welcomingNetwork({
      name: 'wide',
      nodes: [
        { name: 'flat', op: 'flatten', inputs: ['input'] },
        { name: 'first', op: 'dense', inputs: ['flat'], units: 65_536 },
        { name: 'dense', op: 'dense', inputs: ['first'], units: 'classes' },
      ],
    }),
  ],
  [
    'an excessive layer',
    /node "first": its output has the shape \[8223, 8223, 3\]/,
    welcomingNetwork(withNode({ op: 'pad', rows: [4095, 4096], columns: [4095, 4096] })),
  ],
  [
    'a network for other images',
    /the last node has the output shape \[5\]/,
    welcomingNetwork({
      ...withNode(conv),
      nodes: [...withNode(conv).nodes.slice(0, 2), { name: 'd', op: 'dense', inputs: ['flat'], units: 5 }],
    }),
  ],
  ['an excessive number of slices', /config\.slices/, configured({ slices: 1e9 })],
  ['no slices', /config\.slices/, configured({ slices: 0 })],
  ['an excessive batch size', /config\.batchSize/, configured({ batchSize: 2 ** 40 })],
  [
    'a batch size that is not divisible by the slices',
    /`batchSize` of 5, which is not divisible by 2 slices/,
    configured({ batchSize: 5 }),
  ],
  ['an excessive shard', /shards\.0\.bytes/, welcoming({ shards: [shard(maxShardBytes + 1)] })],
  [
    'a shard with an incomplete image',
    /3074 bytes for training shard 0, which is not a multiple of the record size of 3073 bytes/,
    welcoming({ shards: [shard(recordBytes + 1)] }),
  ],
  [
    'more shards than a run may have',
    /\d+ bytes of shards, more than the limit/,
    welcoming({ shards: Array.from({ length: 500 }, (_, index) => shard(300_000 * recordBytes, index)) }),
  ],
  [
    'the layout hash of another model',
    /a different layout for the same model/,
    welcoming({ layoutHash: 'a'.repeat(64) }),
  ],
  [
    'missing preprocessing statistics',
    new RegExp(`expected a payload of ${network.length + 24} bytes in the welcome message, received ${network.length}`),
    configured({ preprocessing: 'standardize' }),
  ],
  [
    'too many preprocessing statistics',
    new RegExp(
      `expected a payload of ${network.length + 24} bytes in the welcome message, received ${network.length + 4000}`,
    ),
    configured({ preprocessing: 'standardize' }, 4000),
  ],
  [
    'preprocessing statistics that nothing uses',
    new RegExp(`expected a payload of ${network.length} bytes in the welcome message, received ${network.length + 8}`),
    welcoming({}, 8),
  ],
  [
    'silence after a welcome with a short heartbeat timeout',
    /silent for more than 0\.05 s/,
    configured({ heartbeatTimeout: 0.05 }),
  ],
  [
    'a heartbeat with an unknown field',
    /heartbeat: Unrecognized key: "mood"/,
    afterWelcome((peer) => peer.lie({ type: 'heartbeat', sentMs: 1, mood: 'good' })),
  ],
  [
    'a heartbeat before the welcome with a payload',
    /heartbeat arrived before the welcome/,
    (peer) => peer.lie({ type: 'heartbeat', sentMs: 1 }, floats(1)),
  ],
  [
    'a reply to a heartbeat with a payload',
    /heartbeat-reply with a payload/,
    afterWelcome((peer) => peer.lie({ type: 'heartbeat-reply', sentMs: 1, repliedMs: 2 }, floats(100))),
  ],

  [
    'too few weights',
    new RegExp(`expected a payload of ${weightsBytes} bytes, received ${weightsBytes - 4}`),
    afterWelcome((peer) => peer.say({ type: 'weights', step: 0 }, new Uint8Array(weightsBytes - 4))),
  ],
  [
    'too many weights',
    new RegExp(`expected a payload of ${weightsBytes} bytes, received ${weightsBytes + 1}`),
    afterWelcome((peer) => peer.say({ type: 'weights', step: 0 }, new Uint8Array(weightsBytes + 1))),
  ],
  [
    'a message too long for the model',
    /is too long for this model/,
    afterWelcome((peer) => peer.say({ type: 'weights', step: 0 }, new Uint8Array(8 << 20))),
  ],
  [
    'compute without weights',
    /compute for step 0 arrived, but this worker has no weights/,
    afterWelcome((peer) => peer.say({ type: 'compute', step: 0, ranges: [{ first: 0, count: 1 }] })),
  ],
  [
    'compute with the weights of another step',
    /compute for step 7 arrived, but this worker has the weights for step 0/,
    afterWeights((peer) => peer.say({ type: 'compute', step: 7, ranges: [{ first: 0, count: 1 }] })),
  ],
  [
    'evaluate without weights',
    /evaluate for step 0 arrived, but this worker has no weights/,
    afterWelcome((peer) => peer.say({ type: 'evaluate', step: 0, split: 'test', index: 0 })),
  ],
  [
    'an evaluation shard that is not in the welcome',
    /test shard 3 is not in the welcome/,
    afterWeights((peer) => peer.say({ type: 'evaluate', step: 0, split: 'test', index: 3 })),
  ],
  [
    'a range that ends after the last slice',
    /invalid slice range \(slices 0 to 2\): not an aligned range in a run of 2 slices/,
    computing(0, 3),
  ],
  ['a range after the last slice', /\(slice 2\): not an aligned range/, computing(2, 1)],
  ['a range of 2^40 slices', /not an aligned range/, computing(0, 2 ** 40)],
  ['a range before the first slice', /ranges\.0\.first/, computing(-1, 1)],
  ['a range of one and a half slices', /ranges\.0\.count/, computing(0, 1.5)],
  ['an empty range', /ranges\.0\.count/, computing(0, 0)],
  [
    'a range that is not a subtree',
    /\(slices 1 to 2\): not an aligned range in a run of 4 slices/,
    (peer) => {
      peer.say({ ...welcome, config: { ...welcome.config, slices: 4 } }, network);
      peer.sayEngine();
      peer.sayWeights();
      peer.say({ type: 'compute', step: 0, ranges: [{ first: 1, count: 2 }] });
    },
  ],
  [
    'a shard with too few images for a step',
    /shard 0 has 1 images, too few for step 0/,
    computingOn(shardImages[0].subarray(0, recordBytes)),
  ],
  ['a label that is not a class', /image 1 of training shard 0 has the invalid label 200/, computingOn(invalidLabel)],
  [
    'endless requests',
    /more than 16384 requests are waiting/,
    afterWeights((peer) => {
      const ranges = Array.from({ length: 1000 }, () => ({ first: 0, count: 1 }));
      for (let count = 0; count < 30; count++) peer.say({ type: 'compute', step: 0, ranges });
    }),
  ],

  ['weights before the welcome', /weights arrived before the welcome/, (peer) => peer.sayWeights()],
  [
    'compute before the welcome',
    /compute arrived before/,
    (peer) => peer.say({ type: 'compute', step: 0, ranges: [{ first: 0, count: 1 }] }),
  ],
  [
    'compute before the choice of the engine',
    /a request for step 0 arrived before use-engine/,
    (peer) => {
      peer.say(welcome, network);
      peer.sayWeights();
      peer.say({ type: 'compute', step: 0, ranges: [{ first: 0, count: 1 }] });
    },
  ],
  ['two choices of the engine', /use-engine arrived a second time/, afterWelcome((peer) => peer.sayEngine())],
  [
    'the choice of an engine that the worker does not offer',
    /does not offer "other\/1"/,
    (peer) => {
      peer.say(welcome, network);
      peer.say({ type: 'use-engine', fingerprint: 'other/1' });
    },
  ],
  [
    'the measurement of an engine that the worker does not offer',
    /does not offer "other\/1"/,
    (peer) => {
      peer.say(welcome, network);
      peer.say({ type: 'measure', fingerprints: ['fake/1', 'other/1'] });
    },
  ],
  [
    'a measurement after the choice of the engine',
    /measure arrived after the engine had been chosen/,
    afterWelcome((peer) => peer.say({ type: 'measure', fingerprints: ['fake/1'] })),
  ],
  ['two welcomes', /a second welcome arrived/, afterWelcome((peer) => peer.say(welcome, network))],
  ["a worker's message", /invalid message of type hello/, (peer) => peer.lie({ type: 'hello' })],
  ['an unknown message type', /invalid message of type constructor/, (peer) => peer.lie({ type: 'constructor' })],
  ['an unknown field', /extra/, welcoming({ extra: 1 })],
  ['a header that is not a map', /message of type unknown/, (peer) => peer.send(framed(packr.pack([1, 2])))],
  ['an empty message', /0 bytes has no header length/, (peer) => peer.send(new Uint8Array(0))],
  ['text', /claims a header/, (peer) => peer.socket.send('welcome')],
  [
    'a truncated header',
    /too few bytes for the value/,
    (peer) => peer.send(framed(packr.pack(welcome).subarray(0, 40))),
  ],
  [
    'a header longer than the message',
    /claims a header of 4294967295 bytes/,
    (peer) => peer.send(framed(packr.pack(welcome), 2 ** 32 - 1)),
  ],
  [
    'an array of billions of elements',
    /too few bytes for the value/,
    (peer) => peer.send(framed(Buffer.from([0xdd, 255, 255, 255, 255]))),
  ],
  [
    'a map of billions of entries',
    /too few bytes for the value/,
    (peer) => peer.send(framed(Buffer.from([0xdf, 255, 255, 255, 255]))),
  ],
  ['endlessly nested arrays', /nested more than 8/, (peer) => peer.send(framed(Buffer.alloc(100_000, 0x91)))],
  ['an extension type', /type 0xc7/, (peer) => peer.send(framed(Buffer.from([0xc7, 1, 0x73, 0])))],
  [
    'a key that is __proto__',
    /a key named __proto__/,
    (peer) => peer.send(framed(packr.pack(JSON.parse('{"type":"welcome","__proto__":{"depth":8}}')))),
  ],
  [
    'a key that is constructor',
    /message of type welcome/,
    welcoming({ constructor: { prototype: { polluted: true } } }),
  ],
  [
    'a WebSocket frame longer than any message',
    /Max payload size exceeded/,
    // Only the frame header is sent. It claims a length of 1 TiB.
    (peer) => {
      const head = Buffer.from([0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]);
      (peer.socket as unknown as { _socket: { write: (bytes: Buffer) => void } })._socket.write(head);
    },
  ],
  [
    'bytes that are not WebSocket frames',
    /Invalid WebSocket frame/,
    (peer) => {
      (peer.socket as unknown as { _socket: { write: (bytes: Buffer) => void } })._socket.write(Buffer.alloc(64, 0xff));
    },
  ],
];
