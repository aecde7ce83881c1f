// Loads a checkpoint and classifies images with it:
//   node examples/predict.ts runs/2026-01-31T12-00-00 photo.png
// The first argument is a checkpoint, or a run directory to use its latest checkpoint. The others are image files of any
// size.
import { loadCheckpoint, LockstepError, predict } from 'lockstep';

const [location, ...images] = process.argv.slice(2);
if (location === undefined || images.length === 0) throw new Error('usage: predict CHECKPOINT IMAGE…');

try {
  // Verifies every file of the checkpoint against its SHA-256.
  const checkpoint = await loadCheckpoint(location);
  const { graph, weightsSize } = checkpoint.layout;
  console.log(`${graph.name} after ${checkpoint.step} steps, ${weightsSize} weights`);

  const { predictions } = await predict({ checkpoint: checkpoint.path, images });
  for (const { image, classes } of predictions) {
    const best = classes.slice(0, 3).map(({ name, probability }) => `${name} ${(100 * probability).toFixed(1)}%`);
    console.log(`${image}: ${best.join(', ')}`);
  }
} catch (error) {
  // A LockstepError has a code, and a message that says how to fix the problem.
  if (!(error instanceof LockstepError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
