import type { ByteSource } from "./image_file.ts";
import type { MemoryRange, PhysicalMemory, PhysicalSearchOptions } from "./physical_memory.ts";

/**
 * Physical memory whose bytes lie unchanged in the file: raw images, ELF cores, LiME. Reads are views
 * of the file where that is mapped.
 */
export class RangeMemory implements PhysicalMemory {
  readonly format: string;
  readonly ranges: readonly MemoryRange[];
  #source: ByteSource;
  /** The range of the last read: reads cluster, so most need no search. */
  #last: MemoryRange | undefined;

  /** `ranges` are ascending, do not overlap, and lie inside the file. */
  constructor(source: ByteSource, format: string, ranges: readonly MemoryRange[]) {
    this.#source = source;
    this.format = format;
    this.ranges = ranges;
  }

  read(address: number, length: number): Uint8Array | undefined {
    let range = this.#last;
    if (range === undefined || address < range.start || address + length > range.end) {
      range = this.#find(address);
      if (range === undefined) return undefined;
      if (address + length > range.end) return this.#readAcross(address, length);
      this.#last = range;
    }
    const offset = range.offset + (address - range.start);
    return this.#source.read(offset, length);
  }

  search(pattern: Uint8Array, options: PhysicalSearchOptions = {}): number[] {
    const { start = 0, end = Infinity, align = 1, limit = 64 } = options;
    const hits: number[] = [];
    let previous: MemoryRange | undefined;
    for (const range of this.ranges) {
      if (previous?.end === range.start && pattern.length > 1) {
        // What lies across the border is in two places of the file.
        const border = Math.max(start, range.start - pattern.length + 1);
        for (let at = border; at < range.start && hits.length < limit; at++) {
          if ((at - start) % align !== 0 || at + pattern.length > end) continue;
          const bytes = this.read(at, pattern.length);
          if (bytes !== undefined && pattern.every((byte, i) => bytes[i] === byte)) hits.push(at);
        }
        if (hits.length >= limit) break;
      }
      previous = range;
      const from = Math.max(start, range.start);
      const to = Math.min(end, range.end);
      if (to - from < pattern.length) continue;
      const shift = range.offset - range.start;
      const first = start + Math.ceil((from - start) / align) * align;
      const found = this.#source.search(pattern, {
        start: first + shift,
        end: to + shift,
        align,
        limit: limit - hits.length,
      });
      for (const offset of found) hits.push(offset - shift);
      if (hits.length >= limit) break;
    }
    return hits;
  }

  /** The range that holds `address`. */
  #find(address: number): MemoryRange | undefined {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.ranges[middle]!;
      if (address >= range.end) low = middle + 1;
      else high = middle;
    }
    const range = this.ranges[low];
    return range !== undefined && address >= range.start ? range : undefined;
  }

  /** A read over the border of ranges that touch in memory but not in the file. */
  #readAcross(address: number, length: number): Uint8Array | undefined {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const range = this.#find(address + done);
      if (range === undefined) return undefined;
      const take = Math.min(length - done, range.end - (address + done));
      const offset = range.offset + (address + done - range.start);
      const part = this.#source.read(offset, take);
      if (part === undefined) return undefined;
      bytes.set(part, done);
      done += take;
    }
    return bytes;
  }
}
