/** Byte arrays by number; those that were not asked for longest go first. */
export class ByteCache {
  #limit: number;
  #held = 0;
  /** Least recently used first: a map keeps the order in which keys were set. */
  #entries = new Map<number, Uint8Array>();

  /** Holds at most `limit` bytes, or one array where that alone is larger. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: number): Uint8Array | undefined {
    const bytes = this.#entries.get(key);
    if (bytes === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, bytes);
    return bytes;
  }

  /** Adds an array or replaces one. It must not be a view of a larger buffer. */
  add(key: number, bytes: Uint8Array): void {
    this.#held -= this.#entries.get(key)?.length ?? 0;
    this.#entries.delete(key);
    this.#entries.set(key, bytes);
    this.#held += bytes.length;
    for (const [oldest, { length }] of this.#entries) {
      if (this.#held <= this.#limit || oldest === key) break;
      this.#entries.delete(oldest);
      this.#held -= length;
    }
  }
}
