// Lists the adapters of this machine that WebGPU finds in Node, and chooses among them.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { builtFile } from '../../../../shared/built-file.js';
import { LockstepError } from '../../../../shared/errors.js';
import { loaderEnvironment } from './dawn.js';

const adapterFacts = z.object({
  /** Name by which Dawn knows the adapter. */
  name: z.string(),
  vendor: z.string(),
  architecture: z.string(),
  description: z.string(),
  /** Whether it is a CPU that emulates a GPU. */
  isSoftware: z.boolean(),
  features: z.array(z.string()),
  limits: z.record(z.string(), z.number()),
});
export type AdapterFacts = z.infer<typeof adapterFacts>;

/** The adapters, or why they cannot be listed. */
const adapterList = z.union([
  z.object({ adapters: z.array(adapterFacts) }),
  z.object({
    problem: z.string(),
    /** What is wrong with the package `webgpu`, if that is the problem. */
    package: z.enum(['missing', 'broken']).optional(),
  }),
]);
export type AdapterList = z.infer<typeof adapterList>;

/** Time limit for the process that lists the adapters. */
const timeoutMs = 60_000;

/** Lists the adapters in a process of its own. */
export async function listAdapters(environment = process.env): Promise<AdapterList> {
  const program = fileURLToPath(builtFile('adapters-program.js', import.meta.url));
  const child = fork(program, {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...environment, ...loaderEnvironment(environment) },
    timeout: timeoutMs,
  });
  let log = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (log += text));
  let answer: AdapterList | undefined;
  child.on('message', (message) => (answer = adapterList.safeParse(message).data));
  await once(child, 'close');
  // Dawn writes a warning if it cannot load the library of Vulkan.
  const warning = /Couldn't load Vulkan: .*/.exec(log)?.[0];
  if (answer === undefined) {
    const lastLine = log.trimEnd().split('\n').at(-1) ?? '';
    return {
      problem: `the process that lists the GPUs crashed (${child.signalCode ?? `exit status ${child.exitCode}`}): ${lastLine}`,
    };
  }
  if ('adapters' in answer && answer.adapters.length === 0 && warning !== undefined) return { problem: warning };
  return answer;
}

/**
 * Returns the names of the adapters to compute on. Throws `bad-option` if there is none, if the option is malformed or includes
 * an adapter that does not exist, and for the second of two adapters with one name, which Dawn cannot tell apart.
 * @param gpus the `gpus` option: `all`, or a comma-separated list of positions such as `0,2`
 */
export function chooseAdapters(gpus: string, list: AdapterList): { index: number; name: string }[] {
  const shown = `\`gpus\` is ${JSON.stringify(gpus)}`;
  const present = 'adapters' in list ? list.adapters.map(({ name }, index) => ({ index, name })) : [];
  if (present.length === 0) {
    const problem = 'problem' in list ? list.problem : 'WebGPU finds no GPU on this machine';
    throw new LockstepError('bad-option', `${shown}, but ${problem} (lockstep doctor --engine webgpu says more)`);
  }
  const names = present.map(({ name }) => name);
  const distinct = present.filter(({ index, name }) => names.indexOf(name) === index);
  if (gpus === 'all') return distinct;
  const chosen = gpus.split(',').map((text) => (/^\d+$/.test(text) ? present[Number(text)] : undefined));
  if (chosen.includes(undefined) || new Set(chosen).size < chosen.length) {
    const choices = present.map(({ index, name }) => `${index} (${name})`).join(', ');
    throw new LockstepError(
      'bad-option',
      `${shown}: it must be all, or a comma-separated list of distinct numbers of GPUs; WebGPU finds ${choices}`,
    );
  }
  const hidden = chosen.find((adapter) => adapter !== undefined && !distinct.includes(adapter));
  if (hidden !== undefined) {
    throw new LockstepError(
      'bad-option',
      `${shown}, but GPU ${hidden.index} has the same name as GPU ${names.indexOf(hidden.name)} (${hidden.name}), and WebGPU cannot ` +
        'tell them apart: use one of them',
    );
  }
  return chosen.filter((adapter) => adapter !== undefined);
}
