// Text and imports of the project's source files, for the architecture test.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const { include } = z
  .object({ include: z.array(z.string()) })
  .parse(JSON.parse(readFileSync(path.join(root, 'tsconfig.build.json'), 'utf8')));
/** Source folders: those compiled by tsc, and `web`, which runs in the browser. */
const folders = [...include.filter((name) => !name.endsWith('.ts')), 'web'];

export interface Import {
  /** Path of a source file relative to the repository root, or the name of a package. */
  target: string;
  /** `url` for a file that is started as a thread or process. */
  kind: 'value' | 'type' | 'url';
}

export interface Source {
  /** Path relative to the repository root. */
  file: string;
  lineCount: number;
  /** Source text without comments. */
  text: string;
  imports: readonly Import[];
}

/** Paths of all source files: TypeScript, AssemblyScript and build scripts, without tests and examples. */
export const sourceFiles: readonly string[] = [
  ...readdirSync(root),
  ...folders.flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
      path.posix.join(folder, name),
    ),
  ),
]
  .filter((file) => /(?<!\.d)\.(?:tsx?|mjs)$/.test(file))
  .toSorted();

/** TypeScript source files. AssemblyScript is excluded because it has different rules for imports. */
export const sources: readonly Source[] = sourceFiles
  .filter((file) => !file.endsWith('.mjs') && !/\/assembly\/[^/]+$/.test(file))
  .map(readSource);

function readSource(file: string): Source {
  const written = readFileSync(path.join(root, file), 'utf8');
  const text = written.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$|\s\/\/ .*$/gm, '');
  const statements = text.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm);
  const calls = text.matchAll(/\bimport\('([^']+)'\)/g);
  const urls = text.matchAll(/new URL\('(\.[^']+\.js)', import\.meta\.url\)/g);
  const imports: Import[] = [
    ...[...statements].map(([, type, name]) => ({ target: resolve(file, name), kind: kindOf(type) })),
    ...[...calls].map(([, name]) => ({ target: resolve(file, name), kind: 'value' as const })),
    ...[...urls].map(([, name]) => ({ target: resolve(file, name), kind: 'url' as const })),
  ];
  return { file, lineCount: written.split('\n').length - 1, text, imports };
}

function kindOf(typeKeyword: string | undefined): 'type' | 'value' {
  return typeKeyword === undefined ? 'value' : 'type';
}

function resolve(file: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  const source = path.posix.join(path.posix.dirname(file), specifier).replace(/\.js$/, '.ts');
  return existsSync(path.join(root, `${source}x`)) ? `${source}x` : source;
}
