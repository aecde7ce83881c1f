// Saves the newest checkpoint of a folder once more, in a process of its own, which die-at.mjs can kill. Argument: the
// folder.
import { saveCheckpoint } from '../../dist/coordinator/run/checkpoints/checkpoint.js';
import { loadCheckpoint } from '../../dist/coordinator/run/checkpoints/load-checkpoint.js';

const [directory] = process.argv.slice(2);
const checkpoint = await loadCheckpoint(directory);
const { config, layout, preprocessing, dataset, shardHashes, progress } = checkpoint;
const store = { preprocessing, dataset, shards: shardHashes.map((sha256) => ({ sha256 })) };
await saveCheckpoint(directory, { config, layout, store }, checkpoint, progress);
