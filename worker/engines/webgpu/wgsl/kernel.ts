// A compute shader in the making: its bindings, functions and body. Pure.
import { type Extent, type Resource, Tensor } from '../memory/resources.js';
import { library, type LibraryFunction } from './arithmetic.js';

export type Access = 'read' | 'read_write';
export type ElementType = 'f32' | 'vec4f' | 'u32';

export interface KernelBinding {
  readonly resource: Resource;
  access: Access;
  readonly type: ElementType;
}

/** Number of elements that one operation of a kernel processes: 4 if all numbers of channels are multiples of 4. */
export type Width = 1 | 4;

/** Workgroups in a row of the grid. A device must support 65,535. */
export const gridWidth = 32_768;

export function widthFor(...channels: readonly number[]): Width {
  return channels.every((count) => count % 4 === 0) ? 4 : 1;
}

export function typeOf(width: Width): 'f32' | 'vec4f' {
  return width === 4 ? 'vec4f' : 'f32';
}

/**
 * The reciprocal of a positive number. The maximum keeps compilers from turning a product with the result into a division,
 * in which drivers differ.
 */
const declarations = `fn reciprocal(x: f32) -> f32 { return max(1.0 / x, 0.0); }`;

export class Kernel {
  readonly threads: number;
  /** Number of workgroups. */
  readonly groups: Extent;
  readonly bindings: KernelBinding[] = [];
  readonly #parts: string[] = [];
  readonly #functions = new Map<string, string>();
  readonly #named = new Map<object, Map<Width, string>>();
  #functionCount = 0;
  #body = '';

  constructor({ groups, threads }: { groups: Extent; threads: number }) {
    this.groups = groups;
    this.threads = threads;
  }

  /** Returns the name of an array to read. */
  read(resource: Resource, type: ElementType): string {
    return this.#bind(resource, 'read', type);
  }

  /** Returns the name of an array to write. */
  write(resource: Resource, type: ElementType): string {
    return this.#bind(resource, 'read_write', type);
  }

  /** Adds declarations or functions. */
  declare(code: string): void {
    this.#parts.push(code);
  }

  /** Returns the name of the function that computes something, and declares it at the first call. */
  once(key: object, width: Width, define: (name: string) => string): string {
    const names = this.#named.get(key) ?? new Map<Width, string>();
    this.#named.set(key, names);
    let name = names.get(width);
    if (name === undefined) {
      name = `f${this.#functionCount++}`;
      names.set(width, name);
      this.declare(define(name));
    }
    return name;
  }

  /** Adds functions of the library and those that they call. */
  use(...names: readonly LibraryFunction[]): void {
    for (const name of names) {
      const { uses, code } = library[name];
      this.use(...uses);
      this.#functions.set(name, code);
    }
  }

  /** Sets the statements of the entry point, which can use `group` and `lane`. */
  main(body: string): void {
    this.#body = body;
  }

  get code(): string {
    const arrays = this.bindings.map(
      ({ access, type }, index) =>
        `@group(0) @binding(${index + 1}) var<storage, ${access}> a${index}: array<${type}>;`,
    );
    return `struct Params { images: u32 }
@group(0) @binding(0) var<uniform> params: Params;
${arrays.join('\n')}
${declarations}
${[...this.#functions.values(), ...this.#parts].join('\n')}
@compute @workgroup_size(${this.threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = workgroup.y * grid.x + workgroup.x;
  if (group >= ${this.groups.wgsl}) { return; }
${this.#body}
}
`;
  }

  #bind(resource: Resource, access: Access, type: ElementType): string {
    let index = this.bindings.findIndex(
      (each) => sameResource(each.resource, resource) && each.type === type && each.access === access,
    );
    if (index < 0) {
      index = this.bindings.length;
      this.bindings.push({ resource, access, type });
    }
    return `a${index}`;
  }
}

export function sameResource(a: Resource, b: Resource): boolean {
  if (a instanceof Tensor || b instanceof Tensor) return a === b;
  return a.buffer === b.buffer && a.offset === b.offset;
}
