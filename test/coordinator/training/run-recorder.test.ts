import { describe, expect, it, vi } from 'vitest';
import { CheckpointManager } from '../../../coordinator/run/checkpoints/checkpoint-manager.js';
import { RunDirectory } from '../../../coordinator/run/run-directory.js';
import { RunEventBus } from '../../../coordinator/run/run-event-bus.js';
import { RunTotals } from '../../../coordinator/run/run-totals.js';
import { RunRecorder } from '../../../coordinator/training/run-recorder.js';
import { TrainingState } from '../../../coordinator/training/training-state.js';
import { progress, setup, stateAt } from '../../support/small-checkpoint.js';

/** Returns the error of a run in the directory `run` that cannot save its state. @param path last checkpoint */
async function failureWith(code: string, description: string, path?: string) {
  const directory = new RunDirectory('run');
  const checkpoints = new CheckpointManager(
    directory.checkpoints,
    setup,
    path === undefined ? path : { path, progress },
  );
  vi.spyOn(checkpoints, 'save').mockRejectedValue(Object.assign(new Error(`${code}: ${description}`), { code }));
  const state = new TrainingState(setup, stateAt(0));
  const recorder = new RunRecorder(state, checkpoints, directory, new RunEventBus(), new RunTotals(null));
  recorder.changed();
  return recorder.saveBeforeExit().catch((error: unknown) => error);
}

describe('a run that cannot save its state before it exits', () => {
  it.each([
    ['ENOSPC', 'no space left on device, write'],
    ['EDQUOT', 'disk quota exceeded, write'],
  ])('fails and asks for disk space if the error is %s', async (code, description) => {
    expect(await failureWith(code, description, 'run/checkpoints/step-00000004')).toMatchObject({
      code: 'save-failed',
      message:
        `cannot save step 0 to run/checkpoints (${code}: ${description}); the last checkpoint is ` +
        'run/checkpoints/step-00000004: free some disk space, then continue from that checkpoint with `resume`',
    });
  });

  it('fails with another remedy for other errors, and does not suggest to resume if there is no checkpoint', async () => {
    expect(await failureWith('EROFS', 'read-only file system, mkdir')).toMatchObject({
      code: 'save-failed',
      message:
        'cannot save step 0 to run/checkpoints (EROFS: read-only file system, mkdir); no checkpoint has been saved: ' +
        'make sure that the directory is writable, then start the run again from the beginning',
    });
  });
});
