// Reads the settings of a workload in deploy/kubernetes that apply to each of its containers.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

const folder = fileURLToPath(new URL('../../deploy/kubernetes', import.meta.url));
const execution = z.object({ exec: z.object({ command: z.array(z.string()) }) });
const containerOfFile = z.object({
  image: z.string(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()),
  /** Environment variables. Those set by the cluster have no value. */
  env: z.array(z.object({ name: z.string(), value: z.string().optional() })),
  volumeMounts: z.array(z.object({ name: z.string(), mountPath: z.string() })),
  securityContext: z.object({
    allowPrivilegeEscalation: z.literal(false),
    readOnlyRootFilesystem: z.boolean().default(false),
    capabilities: z.object({ drop: z.tuple([z.literal('ALL')]) }),
  }),
  startupProbe: execution.optional(),
  livenessProbe: execution.optional(),
  readinessProbe: execution.optional(),
  lifecycle: z.object({ preStop: execution }).optional(),
});
export type PodContainer = z.infer<typeof containerOfFile>;

/** Reads the only container in a workload's pod template. */
export function podContainer(file: 'coordinator.yaml' | 'workers.yaml'): PodContainer {
  const documents = parseAllDocuments(readFileSync(path.join(folder, file), 'utf8'));
  const workload = documents.map((document) => document.toJS() as { kind: string });
  const template = z.object({ spec: z.object({ containers: z.tuple([containerOfFile]) }) });
  const withTemplate = z.object({ spec: z.object({ template }) });
  const found = workload.find(({ kind }) => kind === 'StatefulSet' || kind === 'Job');
  return withTemplate.parse(found).spec.template.spec.containers[0];
}
