import type { SearchOptions, SearchPattern } from "./image_file.ts";
import { type AddressRange, indexBehind, type PhysicalMemory } from "./physical_memory.ts";

/**
 * Memory of an image that leaves out zeros: what is in the machine's RAM and not in the image reads
 * as zeros. What is not RAM stays absent.
 *
 * AVML writes every block of System RAM that has a byte other than zero, so within RAM an undamaged
 * image guarantees that what it does not hold was zero.
 */
export class ElidedMemory implements PhysicalMemory {
  readonly format: string;
  readonly ranges: readonly AddressRange[];
  readonly stored: readonly AddressRange[];
  #inner: PhysicalMemory;
  /** Stretches of RAM that the image does not hold, ascending. */
  #zeros: readonly AddressRange[];

  /** `ram` is ascending and does not overlap. */
  constructor(inner: PhysicalMemory, ram: readonly AddressRange[]) {
    this.#inner = inner;
    this.format = inner.format;
    this.stored = inner.ranges;
    this.#zeros = gaps(inner.ranges, ram);
    this.ranges = [...inner.ranges, ...this.#zeros].sort((a, b) => a.start - b.start);
  }

  get undecodable(): number {
    return this.#inner.undecodable ?? 0;
  }

  /** How many bytes read as zeros because the image leaves them out. */
  get elided(): number {
    return this.#zeros.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  get held(): number | undefined {
    return this.#inner.held;
  }

  read(address: number, length: number): Uint8Array | undefined {
    const bytes = this.#inner.read(address, length);
    if (bytes !== undefined) return bytes;
    const end = address + length;
    const joined = new Uint8Array(length);
    let next = indexBehind(this.#zeros, address);
    for (let at = address; at < end;) {
      const { start, end: zerosEnd } = this.#zeros[next] ?? { start: end, end };
      if (at >= start) {
        at = zerosEnd;
        next++;
        continue;
      }
      const part = this.#inner.read(at, Math.min(start, end) - at);
      if (part === undefined) return undefined;
      joined.set(part, at - address);
      at += part.length;
    }
    return joined;
  }

  /** No pattern is all zeros; one that reaches into zeros that were left out is not found. */
  search(patterns: readonly SearchPattern[], options?: SearchOptions): number[][] {
    return this.#inner.search(patterns, options);
  }
}

/** The parts of `ram` that no range covers; both are ascending and do not overlap. */
function gaps(ranges: readonly AddressRange[], ram: readonly AddressRange[]): AddressRange[] {
  const found: AddressRange[] = [];
  let next = 0;
  for (const { start, end } of ram) {
    let at = start;
    while (next < ranges.length && ranges[next]!.end <= at) next++;
    for (; next < ranges.length && ranges[next]!.start < end; next++) {
      const range = ranges[next]!;
      if (range.start > at) found.push({ start: at, end: range.start });
      at = range.end;
      // It may reach into the next stretch.
      if (at >= end) break;
    }
    if (at < end) found.push({ start: at, end });
  }
  return found;
}
