import { Buffer } from "node:buffer";
import type { ImageFile, SearchOptions } from "../../lib/memory/image_file.ts";

/** An image in a plain buffer, for code under test that wants a file. */
export class BufferImage implements ImageFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly isMapped = true;
  readonly shrank = false;
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
    if (offset < 0 || offset + length > this.size) return undefined;
    return this.bytes.subarray(offset, offset + length);
  }

  search(pattern: Uint8Array, options: SearchOptions = {}): number[] {
    const { start = 0, end = this.size, align = 1, limit = 64 } = options;
    const { buffer, byteOffset } = this.bytes;
    const within = Buffer.from(buffer, byteOffset, Math.max(0, Math.min(end, this.size)));
    const hits: number[] = [];
    let at = within.indexOf(pattern, start);
    while (at >= 0 && hits.length < limit) {
      if ((at - start) % align === 0) hits.push(at);
      at = within.indexOf(pattern, at + 1);
    }
    return hits;
  }

  beside(extension: string): ImageFile | undefined {
    const bytes = this.#others[extension];
    return bytes && new BufferImage(bytes, this.name.replace(/[^.]*$/, extension));
  }

  close(): void {}
}
