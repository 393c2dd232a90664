import type { ByteSource, SearchOptions, SearchPattern } from "./image_file.ts";
import { indexBehind, type MemoryRange, type PhysicalMemory } from "./physical_memory.ts";

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

  /** `ranges` are ascending, do not overlap, in memory or in the file, and lie inside of it. */
  constructor(source: ByteSource, format: string, ranges: readonly MemoryRange[]) {
    this.#source = source;
    this.format = format;
    this.ranges = ranges;
  }

  get held(): number | undefined {
    return this.#source.stored;
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

  search(patterns: readonly SearchPattern[], options: SearchOptions = {}): number[][] {
    const { start = 0, end = Infinity, limit = 64 } = options;
    const hits = patterns.map((): number[] => []);
    for (let i = indexBehind(this.ranges, start); i < this.ranges.length; i++) {
      const range = this.ranges[i]!;
      if (range.start >= end || hits.every(({ length }) => length >= limit)) break;
      if (start < range.start && this.ranges[i - 1]?.end === range.start) {
        // What lies across the border is in two places of the file.
        patterns.forEach((pattern, i) =>
          hits[i]!.push(...this.#across(range.start, pattern, { start, end }))
        );
      }
      const shift = range.offset - range.start;
      const inFile = patterns.map(({ bytes, align = 1, phase = 0 }) => ({
        bytes,
        align,
        phase: modulo(phase + shift, align),
      }));
      const from = Math.max(start, range.start);
      const to = Math.min(end, range.end);
      const found = this.#source.search(inFile, {
        start: from + shift,
        end: to + shift,
        // There cannot be more, and room is made for all of them.
        limit: Math.min(limit, to - from),
      });
      found.forEach((offsets, i) => {
        for (const offset of offsets) hits[i]!.push(offset - shift);
      });
    }
    return hits.map((addresses) => addresses.slice(0, limit));
  }

  /** Matches that start before a border of ranges and end behind it. */
  *#across(
    border: number,
    { bytes, align = 1, phase = 0 }: SearchPattern,
    { start, end }: { start: number; end: number },
  ): Generator<number> {
    const reach = bytes.length - 1;
    const from = Math.max(start, border - reach);
    const last = Math.min(end, border + reach) - bytes.length;
    // All of it at once, where the ranges on both sides are that long.
    const around = this.read(from, last + bytes.length - from);
    for (let at = from; at <= last; at++) {
      if (at % align !== phase) continue;
      const there = around?.subarray(at - from) ?? this.read(at, bytes.length);
      if (there !== undefined && bytes.every((byte, i) => there[i] === byte)) yield at;
    }
  }

  /** The range that holds `address`. */
  #find(address: number): MemoryRange | undefined {
    const range = this.ranges[indexBehind(this.ranges, address)];
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

/** The remainder that is not negative. */
function modulo(value: number, divisor: number): number {
  return (value % divisor + divisor) % divisor;
}
