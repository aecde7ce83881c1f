// Reads the public API from the package's declaration files.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseSync, type Node, type Program } from 'oxc-parser';
import { z } from 'zod';

/** Reference to a declaration: the file and the name in that file. */
interface Declared {
  file: string;
  name: string;
}

interface Module {
  /** Declarations by name; overloaded functions and merged interfaces have several. */
  declarations: Map<string, Node[]>;
  /** Imports from other files in the package, by local name. */
  imported: Map<string, Declared>;
  /** Re-exported declarations, by exported name. */
  reexported: Map<string, Declared>;
}

const keyOf = ({ file, name }: Declared) => `${file}#${name}`;

export interface PublicApi {
  /** All exported names. */
  names: string[];
  /**
   * `file: declaration mentions type` for each of the package's types that an exported declaration mentions but the
   * package does not export.
   */
  unexportedTypes: string[];
}

export function readPublicApi(entry: string): PublicApi {
  const modules = new Map<string, Module>();
  const moduleOf = (file: string): Module => {
    const known = modules.get(file) ?? readModule(file);
    modules.set(file, known);
    return known;
  };

  /** Follows imports and re-exports to the declaration. Returns undefined if it is not in the package. */
  function resolve({ file, name }: Declared): Declared | undefined {
    const { declarations, imported, reexported } = moduleOf(file);
    if (declarations.has(name)) return { file, name };
    const source = imported.get(name) ?? reexported.get(name);
    return source && resolve(source);
  }

  const { reexported } = moduleOf(entry);
  const exported = [...reexported.values()].map((source) => resolve(source) ?? source);
  const keys = new Set(exported.map(keyOf));
  const unexportedTypes = exported.flatMap(({ file, name }) =>
    (moduleOf(file).declarations.get(name) ?? []).flatMap((declaration) =>
      [...typesMentionedIn(declaration)].flatMap((mentioned) => {
        const target = resolve({ file, name: mentioned });
        return target === undefined || keys.has(keyOf(target))
          ? []
          : [`${path.relative(path.dirname(entry), file)}: ${name} mentions ${mentioned}`];
      }),
    ),
  );
  return { names: [...reexported.keys()], unexportedTypes };
}

function readModule(file: string): Module {
  const { program, errors } = parseSync(file, readFileSync(file, 'utf8'));
  if (errors.length > 0) throw new Error(`${file}: ${errors[0].message}`);
  const module: Module = { declarations: new Map(), imported: new Map(), reexported: new Map() };
  for (const statement of program.body) readStatement(statement, file, module);
  return module;
}

function readStatement(statement: Program['body'][number], file: string, module: Module): void {
  const from = (source: string) => path.join(path.dirname(file), source.replace(/\.js$/, '.d.ts'));
  if (statement.type === 'ImportDeclaration') {
    if (!statement.source.value.startsWith('.')) return;
    for (const specifier of statement.specifiers) {
      if (specifier.type !== 'ImportSpecifier') throw new Error(`${file}: ${specifier.type} is not supported`);
      module.imported.set(specifier.local.name, {
        file: from(statement.source.value),
        name: nameOf(specifier.imported),
      });
    }
  } else if (statement.type === 'ExportAllDeclaration') {
    throw new Error(`${file}: export * is not supported`);
  } else if (statement.type === 'ExportNamedDeclaration' && statement.declaration === null) {
    for (const { local, exported } of statement.specifiers) {
      const source = statement.source === null ? file : from(statement.source.value);
      module.reexported.set(nameOf(exported), { file: source, name: nameOf(local) });
    }
  } else {
    const declaration = statement.type === 'ExportNamedDeclaration' ? statement.declaration! : statement;
    for (const name of declaredNames(declaration)) {
      module.declarations.set(name, [...(module.declarations.get(name) ?? []), declaration]);
    }
  }
}

function nameOf(name: { type: string; name?: string; value?: string }): string {
  return z.string().parse(name.name ?? name.value);
}

function declaredNames(declaration: Node): string[] {
  if (declaration.type === 'VariableDeclaration') {
    return declaration.declarations.flatMap(({ id }) => (id.type === 'Identifier' ? [id.name] : []));
  }
  return 'id' in declaration && declaration.id?.type === 'Identifier' ? [declaration.id.name] : [];
}

/**
 * Returns the names of all types that a declaration mentions, including those that a class or an interface extends.
 * Excludes `typeof constant`, which needs no named type.
 */
function typesMentionedIn(node: unknown): Set<string> {
  const names = new Set<string>();
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    const fields = value as Record<string, unknown>;
    if (fields['type'] === 'TSImportType') throw new Error('types written as import(…) are not supported');
    for (const field of ['typeName', 'expression', 'superClass']) {
      const named = z.object({ type: z.literal('Identifier'), name: z.string() }).safeParse(fields[field]);
      if (named.success) names.add(named.data.name);
    }
    Object.values(fields).forEach(visit);
  };
  visit(node);
  return names;
}
