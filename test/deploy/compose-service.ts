// Reads the settings of a compose.yaml service that apply to each of its containers.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';

const folder = fileURLToPath(new URL('../../deploy/docker', import.meta.url));
const serviceFile = z.object({
  command: z.array(z.string()),
  volumes: z.array(z.string()),
  secrets: z.array(z.string()),
  read_only: z.boolean().default(false),
  cap_drop: z.tuple([z.literal('ALL')]),
  security_opt: z.tuple([z.literal('no-new-privileges:true')]),
  healthcheck: z.object({ test: z.tuple([z.literal('CMD')], z.string()) }).optional(),
});
export type ComposeService = z.infer<typeof serviceFile>;

/** Reads a service from compose.yaml. */
export function composeService(name: 'coordinator' | 'worker'): ComposeService {
  const file: unknown = parse(readFileSync(path.join(folder, 'compose.yaml'), 'utf8'));
  const { services } = z.object({ services: z.record(z.string(), z.unknown()) }).parse(file);
  return serviceFile.parse(services[name]);
}
