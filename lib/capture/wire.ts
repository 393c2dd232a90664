/** The wire layout of `bpf/iouring.h`, as the native side tells it. */
export class Wire {
  readonly #values = new Map<string, number>();
  readonly #sizes = new Map<string, number>();

  /** @param text Lines of `name value size`. */
  constructor(text: string) {
    for (const line of text.split("\n")) {
      const [name, value, size] = line.split(" ");
      if (name === undefined || value === undefined || size === undefined) continue;
      this.#values.set(name, Number(value));
      this.#sizes.set(name, Number(size));
    }
  }

  /**
   * The offset of a member, or the value of a constant.
   *
   * @throws {Error} The native side does not know it: the two are of different builds.
   */
  at(name: string): number {
    const value = this.#values.get(name);
    if (value === undefined) throw new Error(`Cannot decode records: no ${name} in the layout`);
    return value;
  }

  /** The size of a struct or member in bytes. */
  size(name: string): number {
    const size = this.#sizes.get(name);
    if (size === undefined) throw new Error(`Cannot decode records: no ${name} in the layout`);
    return size;
  }
}
