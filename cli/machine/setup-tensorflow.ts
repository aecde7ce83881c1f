// `lockstep setup-tensorflow`: TensorFlow for this machine's workers, once, outside the checkout.
import type { Command } from 'commander';
import { LockstepError } from '../../shared/errors.js';
import { lockstepHome, type TensorFlowFlavor } from '../../worker/engines/tensorflow/install-folder.js';
import { thisMachine } from '../../worker/engines/tensorflow/setup/setup-host.js';
import { detectFlavor, setUpTensorFlow } from '../../worker/engines/tensorflow/setup/setup.js';

interface SetupOptions {
  cpu: boolean;
  gpu: boolean;
  bothPackages: boolean;
  force: boolean;
  dryRun: boolean;
}

/** Adds `setup-tensorflow`. Its action throws LockstepError. */
export function addSetupTensorFlowCommand(program: Command): void {
  program
    .command('setup-tensorflow')
    .description('build TensorFlow for the workers of this machine, for its GPU if it has one')
    .option('--cpu', 'for the CPU (280 MB to download)', false)
    .option('--gpu', 'for NVIDIA GPUs, with CUDA (3.4 GB to download)', false)
    .option('--both-packages', 'with --cpu: build the package for GPUs too, to try it without one', false)
    .option('--force', 'build again what is there already', false)
    .option('--dry-run', 'print the commands and run none', false)
    .addHelpText(
      'after',
      `
Needs Linux, npm, python3 with pip, and g++. What is built lies in $LOCKSTEP_HOME, else $XDG_DATA_HOME/lockstep, else
~/.local/share/lockstep, and outlives npm ci.`,
    )
    .action(async ({ cpu, gpu, bothPackages, force, dryRun }: SetupOptions) => {
      if (cpu && gpu) {
        throw new LockstepError('bad-option', '--cpu and --gpu were both given: give one, or none to have it detected');
      }
      if (bothPackages && !cpu) {
        throw new LockstepError('bad-option', '--both-packages was given without --cpu: it is for the CPU alone');
      }
      const host = thisMachine();
      const asked: TensorFlowFlavor | null = cpu ? 'cpu' : gpu ? 'gpu' : null;
      const flavor = asked ?? (await detectFlavor(host));
      const say = (line: string) => program.configureOutput().writeOut?.(`${line}\n`);
      if (asked === null)
        say(flavor === 'gpu' ? 'An NVIDIA driver is here: --gpu.' : 'No NVIDIA driver is here: --cpu.');
      await setUpTensorFlow({ flavor, bothPackages, home: lockstepHome(process.env), force, dryRun }, host, say);
    });
}
