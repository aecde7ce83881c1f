// Names of nodes and layers in exported files.

/** Gives names that are unique in a file. */
export class UniqueNames {
  readonly #taken: Set<string>;

  /** @param reserved names that no layer may have */
  constructor(...reserved: string[]) {
    this.#taken = new Set(reserved);
  }

  /**
   * Returns the name that a layer gets. TensorFlow, and Keras on it, accept only ASCII letters, digits and a few signs, so
   * any other character becomes an underscore. A name that is taken gets a number.
   */
  take(wanted: string): string {
    const valid = wanted.replaceAll(/[^A-Za-z0-9_./-]/g, '_').replace(/^[_/-]/, '.$&');
    let name = valid;
    for (let number = 2; this.#taken.has(name); number++) name = `${valid}_${number}`;
    this.#taken.add(name);
    return name;
  }
}
