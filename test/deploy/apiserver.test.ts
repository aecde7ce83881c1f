// Checks deploy/kubernetes against a real kube-apiserver and etcd: every object is accepted as written, pods from both
// templates are admitted under the namespace's `restricted` policy, and the commands in README.md work. No pods are
// started. LOCKSTEP_KUBE_APISERVER and LOCKSTEP_KUBECTL set the paths of the programs. LOCKSTEP_ETCD sets the path of
// etcd if it is not in PATH.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { folderPerFile } from '../support/folder-per-file.js';
import { sayWhySkipped } from '../support/why-skipped.js';
import { etcdProgram, KubeApiServer, type KubernetesObject } from './kube-apiserver.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const apiServer = process.env['LOCKSTEP_KUBE_APISERVER'];
const kubectl = process.env['LOCKSTEP_KUBECTL'];
const etcd = etcdProgram();
const missing = [
  ...(apiServer !== undefined && existsSync(apiServer)
    ? []
    : ['LOCKSTEP_KUBE_APISERVER is not the path of a kube-apiserver']),
  ...(kubectl !== undefined && existsSync(kubectl) ? [] : ['LOCKSTEP_KUBECTL is not the path of kubectl']),
  ...(etcd === undefined ? ['etcd is neither in LOCKSTEP_ETCD nor on PATH'] : []),
];
if (missing.length > 0) sayWhySkipped('deploy/kubernetes against a kube-apiserver', missing.join('; '));
const inFolder = folderPerFile();
const run = promisify(execFile);

interface PodTemplate {
  metadata: { labels: Record<string, string> };
  spec: {
    securityContext: Record<string, unknown>;
    containers: { securityContext: Record<string, unknown> }[];
    volumes: object[];
  };
}
interface Workload extends KubernetesObject {
  spec: {
    template: PodTemplate;
    parallelism?: number;
    replicas?: number;
    volumeClaimTemplates?: { metadata: { name: string } }[];
  };
}

describe.skipIf(missing.length > 0)('a kube-apiserver', () => {
  let server: KubeApiServer | undefined;
  let objects: KubernetesObject[];

  beforeAll(async () => {
    const { stdout } = await run(kubectl!, ['kustomize', 'deploy/kubernetes'], { cwd: root });
    objects = parseAllDocuments(stdout).map((document) => document.toJS() as KubernetesObject);
    server = await KubeApiServer.start(inFolder('server'), { apiServer: apiServer!, etcd: etcd! });
    const namespace = objects.find(({ kind }) => kind === 'Namespace')!;
    await server.create(namespace, false);
    // In a real cluster, a controller creates this service account in every namespace. Without it, pods are rejected.
    const metadata = { name: 'default', namespace: namespace.metadata.name };
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata };
    await server.create(account, false);
  });
  afterAll(() => server?.stop());

  const workload = (kind: string) => structuredClone(objects.find((object) => object.kind === kind) as Workload);
  /** Returns the pod that the workload's controller would create. */
  function podOf(kind: 'StatefulSet' | 'Job', change: (template: PodTemplate) => void = () => undefined) {
    const { template, volumeClaimTemplates = [] } = workload(kind).spec;
    for (const { metadata } of volumeClaimTemplates) {
      template.spec.volumes.push({
        name: metadata.name,
        persistentVolumeClaim: { claimName: `${metadata.name}-of-0` },
      });
    }
    change(template);
    const metadata = { ...template.metadata, name: `of-${kind.toLowerCase()}`, namespace: 'lockstep' };
    return { apiVersion: 'v1', kind: 'Pod', metadata, spec: template.spec };
  }

  it('accepts every rendered object and finds no unknown fields', async () => {
    const kinds = objects.map(({ kind }) => kind);
    expect(kinds.toSorted()).toEqual([
      'Job',
      'Namespace',
      'NetworkPolicy',
      'NetworkPolicy',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'PodDisruptionBudget',
      'Service',
      'StatefulSet',
    ]);
    for (const object of objects.filter(({ kind }) => kind !== 'Namespace')) {
      const { status, message } = await server!.create(object, true);
      expect({ object: `${object.kind} ${object.metadata.name}`, status, message }).toMatchObject({ status: 201 });
    }
  });

  it.each(['StatefulSet', 'Job'] as const)('admits a pod of the %s to the namespace', async (kind) => {
    expect(await server!.create(podOf(kind), true)).toMatchObject({ status: 201, message: '' });
  });

  it.each<[string, () => KubernetesObject, number, string]>([
    [
      'an unknown field',
      () => ({ ...workload('StatefulSet'), spec: { ...workload('StatefulSet').spec, replica: 1 } }) as Workload,
      400,
      'unknown field "spec.replica"',
    ],
    [
      'a selector that matches none of its pods',
      () => {
        const broken = workload('StatefulSet');
        broken.spec.template.metadata.labels = { app: 'another' };
        return broken;
      },
      422,
      '`selector` does not match template `labels`',
    ],
    [
      'text where a number belongs',
      () => ({ ...workload('Job'), spec: { parallelism: 'four' } }) as never,
      400,
      'parallelism',
    ],
    [
      'a pod that may run as root',
      () => podOf('StatefulSet', ({ spec }) => delete spec.securityContext['runAsNonRoot']),
      403,
      'violates PodSecurity "restricted',
    ],
    [
      'a pod that keeps its capabilities',
      () => podOf('Job', ({ spec }) => delete spec.containers[0].securityContext['capabilities']),
      403,
      'violates PodSecurity "restricted',
    ],
  ])('rejects %s', async (_, object, status, message) => {
    expect(await server!.create(object(), true)).toMatchObject({ status, message: expect.stringContaining(message) });
  });

  describe('with kubectl', () => {
    async function runKubectl(...words: string[]): Promise<string> {
      const { stdout, stderr } = await run(kubectl!, [...server!.kubectlOptions, ...words], { cwd: root });
      return stdout + stderr;
    }
    const read = async (...words: string[]) =>
      JSON.parse(await runKubectl('--namespace', 'lockstep', 'get', '--output', 'json', ...words)) as Workload;

    it('accepts all objects in a server-side dry run', async () => {
      const output = await runKubectl(
        'apply',
        '--server-side',
        '--dry-run=server',
        '-k',
        'deploy/kubernetes',
        '--validate=strict',
      );
      expect(output.trim().split('\n')).toHaveLength(objects.length);
      for (const line of output.trim().split('\n')) expect(line).toMatch(/serverside-applied \(server dry run\)$/);
    });

    it('runs the commands in README.md: secrets, all objects, scaling workers, stopping and resuming', async () => {
      const inNamespace = ['--namespace', 'lockstep'];
      await runKubectl('apply', '-f', 'deploy/kubernetes/namespace.yaml');
      await runKubectl(...inNamespace, 'create', 'secret', 'generic', 'lockstep-worker', '--from-literal=token=t');
      await runKubectl(
        ...inNamespace,
        'create',
        'secret',
        'generic',
        'lockstep-coordinator',
        '--from-literal=tokens=a worker t',
      );
      expect(await runKubectl('apply', '-k', 'deploy/kubernetes')).not.toMatch(/error|warning/i);
      await runKubectl(...inNamespace, 'patch', 'job', 'lockstep-worker', '-p', '{"spec":{"parallelism":8}}');
      expect((await read('job', 'lockstep-worker')).spec.parallelism).toBe(8);
      await runKubectl(...inNamespace, 'scale', 'statefulset', 'lockstep-coordinator', '--replicas', '0');
      expect((await read('statefulset', 'lockstep-coordinator')).spec.replicas).toBe(0);
      // Applying the files again restores all objects, and no change is rejected as immutable.
      await runKubectl('apply', '-k', 'deploy/kubernetes');
      expect(await runKubectl('diff', '-k', 'deploy/kubernetes')).toBe('');
      expect((await read('job', 'lockstep-worker')).spec.parallelism).toBe(4);
    });

    it("rejects a change to the Job's template, as README.md warns, and accepts it once the Job is deleted", async () => {
      const job = workload('Job');
      job.spec.template.metadata.labels['another'] = 'label';
      await writeFile(inFolder('job.json'), JSON.stringify(job));
      await expect(runKubectl('apply', '-f', inFolder('job.json'))).rejects.toThrow('field is immutable');
      await runKubectl(
        '--namespace',
        'lockstep',
        'delete',
        'job',
        'lockstep-worker',
        '--cascade=orphan',
        '--wait=false',
      );
      // No controller is running that would remove the Job's finalizer.
      await runKubectl(
        '--namespace',
        'lockstep',
        'patch',
        'job',
        'lockstep-worker',
        '-p',
        '{"metadata":{"finalizers":null}}',
      );
      expect(await runKubectl('apply', '-f', inFolder('job.json'))).toContain('created');
    });
  });
});
