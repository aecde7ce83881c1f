// The part of the package `webgpu` that is used. It is optional, so its own types may be missing.
declare module 'webgpu' {
  /** @param options options of Dawn, such as `adapter=NAME` */
  export function create(options: string[]): GPU;
}
