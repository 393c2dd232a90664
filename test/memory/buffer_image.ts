import type { ImageFile, SearchOptions } from "../../lib/memory/image_file.ts";

/** An image in a plain buffer, for code under test that wants a file. */
export class BufferImage implements ImageFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly shrank = false;

  constructor(bytes: Uint8Array, name = "image") {
    this.bytes = bytes;
    this.name = name;
  }

  get size(): number {
    return this.bytes.length;
  }

  search(pattern: Uint8Array, options: SearchOptions = {}): number[] {
    const { start = 0, end = this.size, align = 1, limit = 64 } = options;
    const { bytes } = this;
    const last = Math.min(end, this.size) - pattern.length;
    const hits: number[] = [];
    // Typed arrays search for one byte natively, for more only in JavaScript.
    let at = bytes.indexOf(pattern[0]!, start);
    for (; at >= 0 && at <= last && hits.length < limit; at = bytes.indexOf(pattern[0]!, at + 1)) {
      if ((at - start) % align === 0 && pattern.every((byte, i) => bytes[at + i] === byte)) {
        hits.push(at);
      }
    }
    return hits;
  }

  close(): void {}
}
