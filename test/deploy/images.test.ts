// Tests the Dockerfiles without Docker: every instruction is executed in a Debian from debootstrap (image-build.ts).
// Then the images' entry points run as process 1 in a private network, with the settings from compose.yaml and the
// pods.
//
// Differences from `docker build`: base images are rebuilt instead of pulled, and node:…-bookworm-slim uses the newest
// Node.js release with the same major version. The worker image is built for CPUs (see BASE and TENSORFLOW in its
// Dockerfile), so the nvidia/cuda layers and the 3.4 GB of CUDA libraries from `setup-tensorflow --gpu` are not
// covered.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chown, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { readReport, runCli, stepsMade } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { sayWhySkipped } from '../support/why-skipped.js';
import { composeService } from './compose-service.js';
import { Container, hostsFile, PrivateNetwork, type ContainerOptions } from './container.js';
import { ImageBuilder, whyNoImages, type Image } from './image-build.js';
import { podContainer } from './pod.js';
import type { Mount } from './chroot.js';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const reason = whyNoImages();
if (reason !== undefined) sayWhySkipped('the images of deploy/docker', reason);
const inFolder = folderPerFile();
const run = promisify(execFile);
/** User ID in both images. */
const user = 1000;
/** Exit status of an interrupted run. */
const interrupted = 130;
const workerToken = 'a-token-of-forty-eight-characters-for-the-workers';
const operatorToken = 'another-of-forty-eight-characters-for-the-operator';

/** Returns training options for 40 steps. Later options override them. */
function recipe(images: string): string[] {
  const model = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--steps', '40'];
  return [...model, '--data', images, '--no-tensorboard'];
}

describe.skipIf(reason !== undefined)('the images', () => {
  let coordinatorImage: Image;
  let workerImage: Image;
  let network: PrivateNetwork;
  let hosts: Mount;
  const containers: Container[] = [];

  beforeAll(async () => {
    await mkdir(inFolder('images-of'), { recursive: true });
    const builder = new ImageBuilder(inFolder('images-of'), checkout);
    coordinatorImage = await builder.build('deploy/docker/coordinator.Dockerfile');
    const forCpus = { BASE: 'debian:bookworm-slim', TENSORFLOW: 'cpu' };
    workerImage = await builder.build('deploy/docker/worker-gpu.Dockerfile', forCpus);
    network = await PrivateNetwork.open();
    hosts = await hostsFile(inFolder(''), 'coordinator', 'lockstep-coordinator');
    await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 400, testImages: 100 }));
    // Create the secrets as in README.md. Compose mounts a secret with the permissions that the file has on disk.
    await writeFile(inFolder('token'), `${workerToken}\n`);
    const tokens = `rack worker ${workerToken}\nme operator ${operatorToken}\n`;
    await writeFile(inFolder('tokens'), tokens);
    // Create the files with the owner, group and mode that they have in a Secret volume with mode 0440 and an fsGroup.
    for (const [of, file, text] of [
      ['coordinator', 'tokens', tokens],
      ['worker', 'token', workerToken],
    ]) {
      await mkdir(inFolder(`secret-of-${of}`));
      await writeFile(inFolder(`secret-of-${of}`, file), text, { mode: 0o440 });
      await chown(inFolder(`secret-of-${of}`, file), 0, user);
    }
  }, 3_600_000);
  afterEach(async () => {
    for (const container of containers.splice(0)) await container.stop('SIGKILL');
  });
  afterAll(() => network?.close());

  async function start(image: Image, options: Omit<ContainerOptions, 'network'>): Promise<Container> {
    const container = await Container.start(image, { network, ...options });
    containers.push(container);
    return container;
  }

  /** Creates a folder owned by the container's user. (An empty named volume takes the owner of the image's folder.) */
  async function volume(name: string): Promise<string> {
    await mkdir(inFolder(name), { recursive: true });
    await chown(inFolder(name), user, user);
    return inFolder(name);
  }

  /** Starts the coordinator as in compose.yaml, with a short recipe appended to its command. */
  async function startCoordinator(runs: string, ...more: string[]): Promise<Container> {
    const service = composeService('coordinator');
    expect(service).toMatchObject({ volumes: ['runs:/runs'], secrets: ['tokens'], read_only: true });
    return start(coordinatorImage, {
      command: [...service.command, ...recipe('/images'), ...more],
      mounts: [
        hosts,
        { from: await volume(runs), to: '/runs' },
        { from: inFolder('tokens'), to: '/run/secrets/tokens', readOnly: true },
        { from: inFolder('images'), to: '/images', readOnly: true },
      ],
      isReadOnly: true,
      isConfined: true,
    });
  }

  /** Starts a worker as in compose.yaml, but without GPUs. */
  async function startWorker(image: Image, ...more: string[]): Promise<Container> {
    const service = composeService('worker');
    const url = service.command.indexOf('${COORDINATOR:-ws://coordinator:7350}');
    expect(service.command.toSpliced(url, 1)).toEqual([
      'worker',
      '--gpus',
      'all',
      '--token-file',
      '/run/secrets/token',
    ]);
    const token = { from: inFolder('token'), to: '/run/secrets/token', readOnly: true };
    const command = ['worker', 'ws://coordinator:7350', '--token-file', '/run/secrets/token', ...more];
    return start(image, { command, mounts: [hosts, token], isConfined: true });
  }

  const runFolder = (runs: string) => path.join(inFolder(runs), 'current');

  it('contain what is needed at run time, and no build tools', async () => {
    for (const { root } of [coordinatorImage, workerImage]) {
      expect((await readdir(path.join(root, 'app'))).toSorted()).toEqual(['dist', 'node_modules', 'package.json']);
      const packages = await readdir(path.join(root, 'app/node_modules'));
      expect(packages).toContain('ws');
      expect(packages).not.toContain('typescript');
      expect(existsSync(path.join(root, 'app/node_modules/@tensorflow/tfjs-core'))).toBe(false);
      expect(existsSync(path.join(root, 'app/dist/test'))).toBe(false);
    }
  });

  it('the coordinator without options or environment refuses to listen on all addresses without a token', async () => {
    const container = await start(coordinatorImage, { mounts: [{ from: await volume('nothing'), to: '/runs' }] });
    expect(await container.process.exited).toBe(2);
    expect(container.process.output()).toContain('--token');
  });

  it('the coordinator with only a token listens, and answers /healthz without one', async () => {
    const container = await start(coordinatorImage, {
      mounts: [{ from: await volume('plain'), to: '/runs' }],
      environment: { LOCKSTEP_TOKEN: operatorToken },
    });
    await container.process.says('0.0.0.0:7350');
    const statusOf = (page: string) =>
      run(network.prefix[0], [
        ...network.prefix.slice(1),
        process.execPath,
        '--eval',
        `fetch('http://127.0.0.1:7350/${page}').then((answer) => console.log(answer.status))`,
      ]);
    expect((await statusOf('healthz')).stdout.trim()).toBe('200');
    expect((await statusOf('status')).stdout.trim()).toBe('401');
    expect(await container.stop()).toBe(interrupted);
  });

  it('with compose.yaml the coordinator has no privileges, is healthy, saves when stopped, and resumes', async () => {
    const { healthcheck } = composeService('coordinator');
    const first = await startCoordinator('stopped', '--steps', '4000');
    await first.process.says(/waiting for workers/);
    const { NSpid, Uid, NoNewPrivs, CapBnd } = await first.status();
    expect({ NSpid: NSpid.split('\t').at(-1), Uid: Uid.split('\t'), NoNewPrivs, CapBnd }).toEqual({
      NSpid: '1',
      Uid: Array.from({ length: 4 }, () => String(user)),
      NoNewPrivs: '1',
      CapBnd: '0000000000000000',
    });
    expect(await first.execute(...healthcheck!.test.slice(1))).toEqual({ status: 0, output: '' });
    await startWorker(coordinatorImage, '--engine', 'wasm', '--no-cache');
    await first.process.says('joined');
    await stepsMade(runFolder('stopped'), 10);
    expect(await first.stop()).toBe(interrupted);
    expect(first.process.output()).toContain('saved /runs/current/checkpoints/step-');
    const second = await startCoordinator('stopped', '--steps', '4000');
    await second.process.says(/resumed after step \d+ of 4000/);
  });

  it("two workers from the coordinator's image produce the same hash as `train` outside", async () => {
    const alone = [
      'train',
      ...recipe(inFolder('images')),
      '--workers',
      '1',
      '--engine',
      'wasm',
      '--run-dir',
      inFolder('outside'),
    ];
    expect(await runCli(alone)).toMatchObject({ status: 0 });
    const coordinator = await startCoordinator('wasm', '--min-workers', '2');
    // Run workers as README.md does on machines without a GPU: the coordinator's service with another command, so the
    // root is read-only.
    const workers = await Promise.all(
      [1, 2].map(() => startWorker(coordinatorImage, '--engine', 'wasm', '--no-cache')),
    );
    expect([await coordinator.process.exited, coordinator.process.output()]).toEqual([0, expect.any(String)]);
    expect(await Promise.all(workers.map(({ process }) => process.exited))).toEqual([0, 0]);
    const { weightsSha256 } = await readReport(inFolder('outside'));
    expect(await readReport(runFolder('wasm'))).toMatchObject({ weightsSha256, workersJoined: 2, exact: true });
  });

  it("the worker's image has TensorFlow for its user, and two workers produce the same hash as `train`", async () => {
    const doctor = await start(workerImage, { command: ['doctor'] });
    await doctor.process.exited;
    expect(doctor.process.output()).toMatch(/tensorflow.*2\.21\.0/i);
    // The reference run uses the container too, because results may differ between builds of TensorFlow.
    const runs = { from: await volume('alone'), to: '/runs' };
    const images = { from: inFolder('images'), to: '/images', readOnly: true };
    const command = [
      'train',
      ...recipe('/images'),
      '--workers',
      '1',
      '--engine',
      'tensorflow',
      '--run-dir',
      '/runs/current',
    ];
    const alone = await start(workerImage, { command, mounts: [runs, images], isConfined: true });
    expect([await alone.process.exited, alone.process.output()]).toEqual([0, expect.any(String)]);
    const coordinator = await startCoordinator('tensorflow', '--min-workers', '2');
    const workers = await Promise.all([1, 2].map(() => startWorker(workerImage, '--engine', 'tensorflow')));
    expect([await coordinator.process.exited, coordinator.process.output()]).toEqual([0, expect.any(String)]);
    expect(await Promise.all(workers.map(({ process }) => process.exited))).toEqual([0, 0]);
    const { weightsSha256 } = await readReport(runFolder('alone'));
    expect(await readReport(runFolder('tensorflow'))).toMatchObject({ weightsSha256, workersJoined: 2, exact: true });
  });

  /** Starts the coordinator's pod with a short recipe in place of the one in coordinator.yaml. */
  async function startCoordinatorPod(runs: string, ...more: string[]): Promise<Container> {
    const { command, env, volumeMounts, securityContext } = podContainer('coordinator.yaml');
    expect(volumeMounts.map(({ mountPath }) => mountPath)).toEqual(['/runs', '/etc/lockstep', '/etc/lockstep-tls']);
    return start(coordinatorImage, {
      entrypoint: command!,
      command: [...recipe('/images'), ...more],
      environment: Object.fromEntries(env.map(({ name, value = '' }) => [name, value])),
      mounts: [
        hosts,
        { from: await volume(runs), to: '/runs' },
        { from: inFolder('secret-of-coordinator'), to: '/etc/lockstep', readOnly: true },
        { from: inFolder('images'), to: '/images', readOnly: true },
      ],
      isReadOnly: securityContext.readOnlyRootFilesystem,
      isConfined: true,
    });
  }

  async function startWorkerPod(): Promise<Container> {
    const { args, command, volumeMounts } = podContainer('workers.yaml');
    expect(command).toBeUndefined();
    expect(volumeMounts.map(({ mountPath }) => mountPath)).toEqual(['/cache', '/etc/lockstep', '/etc/lockstep-tls']);
    return start(workerImage, {
      // In a cluster, the kubelet expands variables in arguments.
      command: args.map((word) => word.replace('$(POD_NAME)', 'lockstep-worker-abcde')),
      mounts: [
        hosts,
        { from: await volume('cache'), to: '/cache' },
        { from: inFolder('secret-of-worker'), to: '/etc/lockstep', readOnly: true },
      ],
      isConfined: true,
    });
  }

  it('train as Kubernetes pods; the probes see waiting and training, and the preStop hook saves', async () => {
    const { startupProbe, livenessProbe, readinessProbe, lifecycle } = podContainer('coordinator.yaml');
    const coordinator = await startCoordinatorPod('pod', '--steps', '4000', '--min-workers', '1');
    await coordinator.process.says('waiting for workers');
    const probe = async (of: typeof startupProbe) => coordinator.execute(...of!.exec.command);
    expect(await probe(startupProbe)).toEqual({ status: 0, output: '' });
    expect(await probe(readinessProbe)).toEqual({ status: 1, output: '' });
    const worker = await startWorkerPod();
    await coordinator.process.says('lockstep-worker-abcde joined');
    await stepsMade(runFolder('pod'), 10);
    expect(await probe(livenessProbe)).toEqual({ status: 0, output: '' });
    expect(await probe(readinessProbe)).toEqual({ status: 0, output: '' });
    // The preStop hook ends when the container ends.
    await coordinator.execute(...lifecycle!.preStop.exec.command);
    expect(await coordinator.process.exited).toBe(interrupted);
    expect(coordinator.process.output()).toContain('saved /runs/current/checkpoints/step-');
    // The worker exits with an error too, so the kubelet would restart its container (`OnFailure`). Here, the test
    // starts another one, which joins the resumed run.
    expect(await worker.process.exited).toBe(interrupted);
    const second = await startCoordinatorPod('pod', '--steps', '4000', '--min-workers', '1');
    await second.process.says(/resumed after step \d+ of 4000/);
    await startWorkerPod();
    await second.process.says('lockstep-worker-abcde joined');
    expect(await second.stop()).toBe(interrupted);
  });

  it.each(['the hook', 'a signal'])('a pod whose run has finished stays alive until %s ends it', async (by) => {
    const { livenessProbe, lifecycle } = podContainer('coordinator.yaml');
    await mkdir(path.join(await volume('over'), 'current'), { recursive: true });
    await writeFile(path.join(runFolder('over'), 'report.json'), '{}');
    const coordinator = await startCoordinatorPod('over');
    await coordinator.process.says('the run has ended');
    expect(await coordinator.execute(...livenessProbe!.exec.command)).toEqual({ status: 0, output: '' });
    if (by === 'the hook') await coordinator.execute(...lifecycle!.preStop.exec.command);
    else await coordinator.stop();
    expect(await coordinator.process.exited).toBe(0);
  });

  it('a worker with --gpus that finds none says what to check', async () => {
    const worker = await startWorker(workerImage, '--gpus', 'all');
    expect(await worker.process.exited).toBe(2);
    expect(worker.process.output()).toContain('lists no GPU on this machine');
  });
});
