// Folder in which `lockstep setup-tensorflow` installs TensorFlow and from which the loader loads it. It is outside any
// checkout, so the installation survives `npm ci`.
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export type TensorFlowFlavor = 'gpu' | 'cpu';

/** Official npm packages. Both have the same sources and the same version. */
export const tfjsPackages: Record<TensorFlowFlavor, string> = {
  gpu: '@tensorflow/tfjs-node-gpu',
  cpu: '@tensorflow/tfjs-node',
};

/** Returns `$LOCKSTEP_HOME`, else `$XDG_DATA_HOME/lockstep`, else `~/.local/share/lockstep`. */
export function lockstepHome(environment: NodeJS.ProcessEnv): string {
  if (environment['LOCKSTEP_HOME']) return resolve(environment['LOCKSTEP_HOME']);
  const dataHome = environment['XDG_DATA_HOME'] || join(homedir(), '.local', 'share');
  return join(dataHome, 'lockstep');
}

export function installFolder(home: string, flavor: TensorFlowFlavor): string {
  return join(home, `tensorflow-${flavor}`);
}

/** The newest Node-API version that tfjs-node supports. The binding works with Node 18 and later. */
export const bindingApiVersion = 8;
/** Path in the package where tfjs-node looks for its native binding. */
export const bindingInPackage = join('lib', `napi-v${bindingApiVersion}`, 'tfjs_binding.node');
