// lockstep setup-tensorflow: builds TensorFlow for the workers on this machine, in a folder outside the checkout.
import type { Command } from 'commander';
import { LockstepError } from '../../shared/errors.js';
import { lockstepHome } from '../../worker/engines/tensorflow/install-folder.js';
import { thisMachine } from '../../worker/engines/tensorflow/setup/setup-host.js';
import { detectFlavor, setUpTensorFlow } from '../../worker/engines/tensorflow/setup/setup.js';
import { printLines } from '../output/printer.js';

type SetupOptionValues = Record<'cpu' | 'gpu' | 'bothPackages' | 'force' | 'dryRun', boolean>;

export function configure(command: Command): void {
  command
    .description(
      'Build TensorFlow for the workers of this machine: with CUDA if an NVIDIA driver is installed, otherwise for the CPU.',
    )
    .option('--cpu', 'build for the CPU (downloads 280 MB)', false)
    .option('--gpu', 'build for NVIDIA GPUs, with CUDA (downloads 3.4 GB)', false)
    .option('--both-packages', 'with --cpu, build the GPU package too, to test it without a GPU', false)
    .option('--force', 'rebuild an existing installation', false)
    .option('--dry-run', 'print the commands without running them', false)
    .addHelpText(
      'after',
      `
Requires Linux, npm, python3 with pip, and g++. The installation is in
$LOCKSTEP_HOME, $XDG_DATA_HOME/lockstep or ~/.local/share/lockstep, and npm ci
does not remove it.`,
    )
    .action(async ({ cpu, gpu, bothPackages, force, dryRun }: SetupOptionValues) => {
      if (cpu && gpu) {
        throw new LockstepError('bad-option', '--cpu and --gpu are both given: give one, or omit both to detect a GPU');
      }
      if (bothPackages && !cpu) {
        throw new LockstepError('bad-option', '--both-packages requires --cpu: add --cpu, or omit --both-packages');
      }
      const print = (line: string) => printLines(command, [line]);
      const host = thisMachine();
      const flavor = cpu ? 'cpu' : gpu ? 'gpu' : await detectFlavor(host);
      if (!cpu && !gpu)
        print(flavor === 'gpu' ? 'Found an NVIDIA driver: using --gpu.' : 'No NVIDIA driver: using --cpu.');
      await setUpTensorFlow({ flavor, bothPackages, home: lockstepHome(process.env), force, dryRun }, host, print);
    });
}
