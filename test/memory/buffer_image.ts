import type { ImageFile, SearchOptions, SearchPattern } from "../../lib/memory/image_file.ts";

/** An image in a plain buffer, for code under test that wants a file. */
export class BufferImage implements ImageFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly isMapped = true;
  readonly shrank = false;
  /** Bytes that were asked for so far; a small read counts as 64. */
  asked = 0;
  readonly #others: Readonly<Record<string, Uint8Array>>;

  /** `others` are the files beside it, by extension. */
  constructor(
    bytes: Uint8Array,
    name = "image",
    others: Readonly<Record<string, Uint8Array>> = {},
  ) {
    this.bytes = bytes;
    this.name = name;
    this.#others = others;
  }

  get size(): number {
    return this.bytes.length;
  }

  read(offset: number, length: number): Uint8Array | undefined {
    this.asked += Math.max(length, 64);
    if (offset < 0 || offset + length > this.size) return undefined;
    return this.bytes.subarray(offset, offset + length);
  }

  search(patterns: readonly SearchPattern[], options: SearchOptions = {}): number[][] {
    const { start = 0, end = this.size, limit = 64 } = options;
    this.asked += end - start;
    return patterns.map(({ bytes: wanted, align = 1, phase = 0 }) => {
      const { bytes } = this;
      const last = Math.min(end, this.size) - wanted.length;
      const hits: number[] = [];
      // Typed arrays search for one byte natively, for more only in JavaScript.
      let at = bytes.indexOf(wanted[0]!, start);
      for (; at >= 0 && at <= last && hits.length < limit; at = bytes.indexOf(wanted[0]!, at + 1)) {
        if (at % align === phase && wanted.every((byte, i) => bytes[at + i] === byte)) {
          hits.push(at);
        }
      }
      return hits;
    });
  }

  beside(extension: string): ImageFile | undefined {
    const bytes = this.#others[extension];
    return bytes && new BufferImage(bytes, this.name.replace(/[^.]*$/, extension));
  }

  close(): void {}
}

/** An image of which only so much may be asked, so that a test ends where a bound does not hold. */
export class BoundedImage extends BufferImage {
  /** Bytes that may be asked for. */
  readonly #most: number;

  constructor(bytes: Uint8Array, most: number, name?: string) {
    super(bytes, name);
    this.#most = most;
  }

  override read(offset: number, length: number): Uint8Array | undefined {
    this.#checkBound();
    return super.read(offset, length);
  }

  override search(patterns: readonly SearchPattern[], options: SearchOptions = {}): number[][] {
    this.#checkBound();
    return super.search(patterns, options);
  }

  #checkBound(): void {
    if (this.asked > this.#most) throw new Error("More was read than may be");
  }
}
