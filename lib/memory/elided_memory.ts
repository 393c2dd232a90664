import type { SearchOptions, SearchPattern } from "./image_file.ts";
import type { AddressRange, PhysicalMemory } from "./physical_memory.ts";

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
  #inner: PhysicalMemory;
  /** Stretches of RAM that the image does not hold, ascending. */
  #zeros: readonly AddressRange[];

  /** `ram` is ascending and does not overlap. */
  constructor(inner: PhysicalMemory, ram: readonly AddressRange[]) {
    this.#inner = inner;
    this.format = inner.format;
    this.#zeros = ram.flatMap((range) => gaps(inner.ranges, range));
    this.ranges = [...inner.ranges, ...this.#zeros].sort((a, b) => a.start - b.start);
  }

  get undecodable(): number {
    return this.#inner.undecodable ?? 0;
  }

  /** How many bytes read as zeros because the image leaves them out. */
  get elided(): number {
    return this.#zeros.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  read(address: number, length: number): Uint8Array | undefined {
    const bytes = this.#inner.read(address, length);
    if (bytes !== undefined) return bytes;
    const end = address + length;
    const zeros = this.#zeros.find((range) => address < range.end && end > range.start);
    if (zeros === undefined) return undefined;
    if (address >= zeros.start && end <= zeros.end) return new Uint8Array(length);
    // Partly zeros: what is before and behind is read by itself.
    const parts = [
      [address, Math.max(address, zeros.start)],
      [Math.max(address, zeros.start), Math.min(end, zeros.end)],
      [Math.min(end, zeros.end), end],
    ] as const;
    const joined = new Uint8Array(length);
    for (const [from, to] of parts) {
      const part = from === to ? new Uint8Array() : this.read(from, to - from);
      if (part === undefined) return undefined;
      joined.set(part, from - address);
    }
    return joined;
  }

  /** No pattern is all zeros; one that reaches into zeros that were left out is not found. */
  search(patterns: readonly SearchPattern[], options?: SearchOptions): number[][] {
    return this.#inner.search(patterns, options);
  }
}

/** The parts of `within` that no range covers. */
function gaps(ranges: readonly AddressRange[], within: AddressRange): AddressRange[] {
  const found: AddressRange[] = [];
  let at = within.start;
  for (const { start, end } of ranges) {
    if (end <= at) continue;
    if (start >= within.end) break;
    if (start > at) found.push({ start: at, end: start });
    at = end;
  }
  if (at < within.end) found.push({ start: at, end: within.end });
  return found;
}
