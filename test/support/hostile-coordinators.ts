// What a hostile coordinator does to a worker, one case each, and what the worker says when it goes away.
import { Packr } from 'msgpackr';
import { recordBytes } from '../../shared/dataset/image-batch.js';
import { layoutHash } from '../../shared/network/layout-hash.js';
import { layoutModel } from '../../shared/network/layout.js';
import { shards, sha256Of, shardImages, welcome, weightsBytes, type Peer } from './scripted-coordinator.js';

const packr = new Packr({ useRecords: false });
const firstShard = shards[0];
export const oneGiB = 1024 ** 3;
const floats = (count: number) => new Uint8Array(4 * count);
const shard = (bytes: number, index = 0) => ({ ...firstShard, bytes, index });

/** A frame around any bytes at all in the header's place. */
function framed(header: Uint8Array, claimedBytes = header.length): Buffer {
  const frame = Buffer.alloc(Math.ceil((4 + header.length) / 8) * 8);
  frame.writeUInt32LE(claimedBytes, 0);
  frame.set(header, 4);
  return frame;
}

/** Says the welcome with other fields. */
export const welcoming =
  (fields: Record<string, unknown>, payloadBytes = 0) =>
  (peer: Peer) =>
    peer.lie({ ...welcome, ...fields }, new Uint8Array(payloadBytes));
/** Says the welcome with another configuration. */
const configured = (fields: Record<string, unknown>, payloadBytes = 0) =>
  welcoming({ config: { ...welcome.config, ...fields } }, payloadBytes);
/** Says a welcome with a model of its own, rightly hashed. */
function welcomingModel(depth: number, initialFilters: number) {
  const config = { ...welcome.config, depth, initialFilters };
  return welcoming({ config, layoutHash: layoutHash(layoutModel(config)) });
}
/** What comes after an honest beginning. */
export const afterWelcome = (play: (peer: Peer) => Promise<void> | void) => (peer: Peer) => {
  peer.say(welcome);
  return play(peer);
};
const afterWeights = (play: (peer: Peer) => Promise<void> | void) =>
  afterWelcome((peer) => {
    peer.sayWeights();
    return play(peer);
  });
const computing = (first: number, count: number) =>
  afterWeights((peer) => peer.lie({ type: 'compute', step: 0, ranges: [{ first, count }] }));
/** Answers the first request for a shard with these chunks. */
const answering = (...chunks: { offset: number; bytes: Uint8Array; sha256?: string }[]) =>
  afterWelcome(async (peer) => {
    peer.say({ type: 'prefetch', sha256: firstShard.sha256 });
    await peer.hear('shard-request');
    for (const { offset, bytes, sha256 = firstShard.sha256 } of chunks) {
      peer.say({ type: 'shard-chunk', sha256, offset }, bytes);
    }
  });
/** A run whose only shard is these bytes, rightly hashed, of which a slice is computed. */
const computingOn = (records: Uint8Array) => async (peer: Peer) => {
  const sha256 = sha256Of(records);
  peer.say({ ...welcome, shards: [{ split: 'training', index: 0, sha256, bytes: records.length }] });
  peer.sayWeights();
  peer.say({ type: 'compute', step: 0, ranges: [{ first: 0, count: 1 }] });
  await peer.hear('shard-request');
  peer.say({ type: 'shard-chunk', sha256, offset: 0 }, records);
};
const wrongLabel = Buffer.from(shardImages[0]);
wrongLabel[recordBytes] = 200;

export type Case = [name: string, reason: RegExp, play: (peer: Peer) => Promise<void> | void];

/** Each ends the connection for this reason, and the worker knocks again. */
export const cases: readonly Case[] = [
  [
    'a path for a shard in the welcome',
    /shards\.0\.sha256/,
    welcoming({ shards: [{ ...firstShard, sha256: '../../x' }] }),
  ],
  [
    'a path to be fetched',
    /prefetch.*sha256/,
    afterWelcome((peer) => peer.lie({ type: 'prefetch', sha256: '../../x' })),
  ],
  [
    'a path for a chunk',
    /shard-chunk.*sha256/,
    afterWelcome((peer) => peer.lie({ type: 'shard-chunk', sha256: '/etc/x', offset: 0 }, floats(1))),
  ],
  ['a split that is a path', /shards\.0\.split/, welcoming({ shards: [{ ...firstShard, split: '../x' }] })],
  ['a run id longer than names are', /runId/, welcoming({ runId: '../'.repeat(100) })],

  [
    'a chunk that nobody asked for',
    /bytes 0 to 4 of shard .* not asked for/,
    afterWelcome((peer) => peer.say({ type: 'shard-chunk', sha256: firstShard.sha256, offset: 0 }, floats(1))),
  ],
  ['a chunk of another shard', /not asked for/, answering({ offset: 0, bytes: floats(1), sha256: shards[1].sha256 })],
  ['a chunk at a wrong offset', /bytes 8 to 12 of shard .* not asked for/, answering({ offset: 8, bytes: floats(1) })],
  [
    'a chunk again',
    /bytes 0 to 4 of shard .* not asked for/,
    answering({ offset: 0, bytes: shardImages[0].subarray(0, 4) }, { offset: 0, bytes: floats(1) }),
  ],
  [
    'a chunk beyond the shard',
    /bytes 0 to 6150 of shard .* not asked for/,
    answering({ offset: 0, bytes: new Uint8Array(6150) }),
  ],
  ['an empty chunk', /bytes 0 to 0 of shard .* not asked for/, answering({ offset: 0, bytes: new Uint8Array(0) })],
  [
    'another shard than the hash says',
    /other bytes than its hash says/,
    answering({ offset: 0, bytes: shardImages[1] }),
  ],
  [
    'chunks without end',
    /not asked for/,
    afterWelcome(async (peer) => {
      const sha256 = firstShard.sha256;
      const chunk = Buffer.alloc(1 << 20);
      for (let offset = 0; peer.isOpen && offset < oneGiB; offset += chunk.length) {
        peer.say({ type: 'shard-chunk', sha256, offset }, chunk);
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (peer.isOpen) throw new Error('the worker took 1 GiB of chunks that it had not asked for');
    }),
  ],
  [
    'a shard to be fetched that was not announced',
    /fetch shard f{64}, which was not announced/,
    afterWelcome((peer) => peer.say({ type: 'prefetch', sha256: 'f'.repeat(64) })),
  ],

  ['a depth that is none', /depth is 9: it must be 6n\+2/, configured({ depth: 9 })],
  ['a depth beyond all', /config\.depth/, configured({ depth: 6 * 1e8 + 2 })],
  ['filters that are none', /initialFilters is 6/, configured({ initialFilters: 6 })],
  ['filters beyond all', /config\.initialFilters/, configured({ initialFilters: 1e9 })],
  ['a model that no message holds', /a model of \d+ weights .*more than a message/, welcomingModel(1_994, 1_024)],
  ['a bnEpsilon of NaN', /config\.bnEpsilon/, configured({ bnEpsilon: NaN })],
  ['slices beyond all', /slices/, configured({ slices: 1e9 })],
  ['no slices', /slices/, configured({ slices: 0 })],
  ['a batch beyond all', /batchSize/, configured({ batchSize: 2 ** 40 })],
  [
    'a batch that its slices do not divide',
    /batchSize of 5, which 2 slices do not divide/,
    configured({ batchSize: 5 }),
  ],
  ['a shard beyond all', /shards\.0\.bytes/, welcoming({ shards: [shard(oneGiB + 1)] })],
  [
    'a shard with half an image',
    /shard 0 of 3074 bytes: images have 3073 each/,
    welcoming({ shards: [shard(recordBytes + 1)] }),
  ],
  [
    'shards that no memory holds',
    /shards of \d+ bytes: more than/,
    welcoming({ shards: Array.from({ length: 500 }, (_, index) => shard(300_000 * recordBytes, index)) }),
  ],
  [
    'a layout hash of another model',
    /lays the same model out in another way/,
    welcoming({ layoutHash: 'a'.repeat(64) }),
  ],
  [
    'measured preprocessing without values',
    /payload of 0 bytes where 24 were expected/,
    configured({ preprocessing: 'standardize' }),
  ],
  [
    'measured preprocessing with too many',
    /payload of 4000 bytes where 24/,
    configured({ preprocessing: 'standardize' }, 4000),
  ],
  ['values where nothing was measured', /payload of 8 bytes where 0/, welcoming({}, 8)],
  ['silence after a welcome that allows none', /silent for more than 0\.05 s/, configured({ heartbeatTimeout: 0.05 })],

  [
    'weights that are too few',
    new RegExp(`payload of ${weightsBytes - 4} bytes where ${weightsBytes}`),
    afterWelcome((peer) => peer.say({ type: 'weights', step: 0 }, new Uint8Array(weightsBytes - 4))),
  ],
  [
    'weights that are too many',
    new RegExp(`payload of ${weightsBytes + 1} bytes`),
    afterWelcome((peer) => peer.say({ type: 'weights', step: 0 }, new Uint8Array(weightsBytes + 1))),
  ],
  [
    'a message longer than the model allows',
    /is longer than this model's longest/,
    afterWelcome((peer) => peer.say({ type: 'weights', step: 0 }, new Uint8Array(8 << 20))),
  ],
  [
    'compute without weights',
    /compute with the weights of step 0, and none are here/,
    afterWelcome((peer) => peer.say({ type: 'compute', step: 0, ranges: [{ first: 0, count: 1 }] })),
  ],
  [
    'compute with the weights of another step',
    /weights of step 7, and those of step 0 are here/,
    afterWeights((peer) => peer.say({ type: 'compute', step: 7, ranges: [{ first: 0, count: 1 }] })),
  ],
  [
    'evaluate without weights',
    /evaluate with the weights of step 0, and none/,
    afterWelcome((peer) => peer.say({ type: 'evaluate', step: 0, split: 'test', index: 0 })),
  ],
  [
    'a part to evaluate that was not announced',
    /test shard 3, which was not announced/,
    afterWeights((peer) => peer.say({ type: 'evaluate', step: 0, split: 'test', index: 3 })),
  ],
  ['slices beyond the last', /slices 0 to 2, which is no range of a tree over 2/, computing(0, 3)],
  ['a slice behind the last', /slice 2, which is no range/, computing(2, 1)],
  ['slices without number', /which is no range/, computing(0, 2 ** 40)],
  ['a slice before the first', /ranges\.0\.first/, computing(-1, 1)],
  ['a slice and a half', /ranges\.0\.count/, computing(0, 1.5)],
  ['no slices to compute', /ranges\.0\.count/, computing(0, 0)],
  [
    'slices across the tree',
    /slices 1 to 2, which is no range of a tree over 4/,
    (peer) => {
      peer.say({ ...welcome, config: { ...welcome.config, slices: 4 } });
      peer.sayWeights();
      peer.say({ type: 'compute', step: 0, ranges: [{ first: 1, count: 2 }] });
    },
  ],
  [
    'a shard with fewer images than a step has',
    /shard 0 has 1 images: a step of 2/,
    computingOn(shardImages[0].subarray(0, recordBytes)),
  ],
  [
    'an image with a label beyond the classes',
    /image 1 of training shard 0 has the label 200/,
    computingOn(wrongLabel),
  ],
  [
    'requests without end',
    /asked for more than 16384 things at once/,
    afterWeights((peer) => {
      const ranges = Array.from({ length: 1000 }, () => ({ first: 0, count: 1 }));
      for (let count = 0; count < 30; count++) peer.say({ type: 'compute', step: 0, ranges });
    }),
  ],

  ['weights before the welcome', /weights came before the welcome/, (peer) => peer.sayWeights()],
  [
    'compute before the welcome',
    /compute came before/,
    (peer) => peer.say({ type: 'compute', step: 0, ranges: [{ first: 0, count: 1 }] }),
  ],
  ['two welcomes', /welcomed us twice/, afterWelcome((peer) => peer.say(welcome))],
  ["a worker's own message", /type hello that this version does not know/, (peer) => peer.lie({ type: 'hello' })],
  ['a type that there is not', /type constructor that/, (peer) => peer.lie({ type: 'constructor' })],
  ['a field more than there are', /extra/, welcoming({ extra: 1 })],
  ['no map', /message of type no/, (peer) => peer.send(framed(packr.pack([1, 2])))],
  ['an empty message', /0 bytes has no header length/, (peer) => peer.send(new Uint8Array(0))],
  ['text', /claims a header/, (peer) => peer.socket.send('welcome')],
  [
    'a header that is cut short',
    /it ends too early|claims more/,
    (peer) => peer.send(framed(packr.pack(welcome).subarray(0, 40))),
  ],
  [
    'a header longer than its message',
    /claims a header of 4294967295 bytes/,
    (peer) => peer.send(framed(packr.pack(welcome), 2 ** 32 - 1)),
  ],
  [
    'an array of billions',
    /claims more than there is/,
    (peer) => peer.send(framed(Buffer.from([0xdd, 255, 255, 255, 255]))),
  ],
  [
    'a map of billions',
    /claims more than there is/,
    (peer) => peer.send(framed(Buffer.from([0xdf, 255, 255, 255, 255]))),
  ],
  ['arrays nested without end', /nested more than 8 deep/, (peer) => peer.send(framed(Buffer.alloc(100_000, 0x91)))],
  ['an extension type', /type 0xc7 is not spoken/, (peer) => peer.send(framed(Buffer.from([0xc7, 1, 0x73, 0])))],
  [
    'a key that is __proto__',
    /message of type/,
    (peer) => peer.send(framed(packr.pack(JSON.parse('{"type":"welcome","__proto__":{"depth":8}}')))),
  ],
  [
    'a key that is constructor',
    /message of type welcome/,
    welcoming({ constructor: { prototype: { polluted: true } } }),
  ],
  [
    'a frame longer than any message',
    /Max payload size exceeded/,
    // Its head alone, which claims 1 TiB.
    (peer) => {
      const head = Buffer.from([0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]);
      (peer.socket as unknown as { _socket: { write: (bytes: Buffer) => void } })._socket.write(head);
    },
  ],
  [
    'bytes that are no frames',
    /Invalid WebSocket frame/,
    (peer) => {
      (peer.socket as unknown as { _socket: { write: (bytes: Buffer) => void } })._socket.write(Buffer.alloc(64, 0xff));
    },
  ],
];
