import type { SearchOptions, SearchPattern } from "./image_file.ts";

/** A run of physical addresses. */
export interface AddressRange {
  /** First physical address. */
  readonly start: number;
  /** End (exclusive). */
  readonly end: number;
}

/** A run of physical addresses whose bytes lie in the file as they are, and where. */
export interface MemoryRange extends AddressRange {
  /** Offset of `start` in the file. */
  readonly offset: number;
}

/**
 * Physical memory of one machine at one moment. Physical addresses are numbers: x86-64 has at
 * most 52 bits of them, which a number holds exactly. Virtual addresses never are.
 */
export interface PhysicalMemory {
  /** The name of the image format: `raw`, `elf`, `kcore`, `lime`, `avml`, `kdump`, `vmware`. */
  readonly format: string;
  /**
   * What the image may hold: ascending, not overlapping. Between ranges nothing is known, and within
   * one some formats leave out pages, which then cannot be read.
   */
  readonly ranges: readonly AddressRange[];
  /** Those of `ranges` that the file holds, where the others are known to be zeros. Default: all. */
  readonly stored?: readonly AddressRange[];
  /** How many bytes of it the file holds beside holes, which are zeros. Default: all. */
  readonly held?: number | undefined;
  /** How many stretches of memory were asked for so far that are damaged in the image. Default 0. */
  readonly undecodable?: number;
  /**
   * `length` bytes at a physical address, zero-copy where the format allows, or undefined when
   * any of them is not in the image. Absent is not zero.
   */
  read(address: number, length: number): Uint8Array | undefined;
  /** Physical addresses of each pattern, ascending; see {@linkcode ByteSource.search}. */
  search(patterns: readonly SearchPattern[], options?: SearchOptions): number[][];
}

/** Told how far some work is: parts done of all, and what is being done with them. */
export type TellProgress = (done: number, total: number, what: string) => void;

/** Index of the first of some ascending ranges that ends behind `address`. */
export function indexBehind(ranges: readonly AddressRange[], address: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]!.end <= address) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many bytes of memory the image itself may hold, zeros that it leaves out not among them. */
export function storedBytes({ ranges, stored = ranges }: PhysicalMemory): number {
  return stored.reduce((sum, { start, end }) => sum + (end - start), 0);
}

/** How many bytes of memory may be other than zero: what there is to be read is bounded by that. */
export function heldBytes(memory: PhysicalMemory): number {
  return Math.min(storedBytes(memory), memory.held ?? Infinity);
}

/**
 * Ranges none of which has bytes of the file that another has. No machine has the same memory at two
 * addresses, and a hostile file could make any amount of it so.
 */
export function withoutShared(ranges: readonly MemoryRange[]): MemoryRange[] {
  let end = 0;
  const shared = new Set<MemoryRange>();
  for (const range of [...ranges].sort((a, b) => a.offset - b.offset)) {
    if (range.offset < end) shared.add(range);
    else end = range.offset + (range.end - range.start);
  }
  return ranges.filter((range) => !shared.has(range));
}

/**
 * Searching a range costs some time however short it is, and no image has so many: of more, the
 * largest.
 */
const MAX_RANGES = 2 ** 18;

/** As many ranges as are worth searching, ascending. */
export function largestRanges(ranges: readonly MemoryRange[]): readonly MemoryRange[] {
  if (ranges.length <= MAX_RANGES) return ranges;
  const length = ({ start, end }: AddressRange) => end - start;
  return [...ranges].sort((a, b) => length(b) - length(a) || a.start - b.start)
    .slice(0, MAX_RANGES)
    .sort((a, b) => a.start - b.start);
}

/**
 * All memory that the image itself may hold in steps of less than two times `size` bytes, however
 * much lies between ranges. What is aligned within `size` bytes does not lie across steps, which
 * double in size up to `most` bytes.
 */
export function* searchSteps(
  { ranges, stored = ranges }: PhysicalMemory,
  size: number,
  most = size,
): Generator<AddressRange & { readonly held: number }> {
  let first: number | undefined;
  let held = 0;
  for (const range of stored) {
    for (let start = range.start; start < range.end;) {
      const end = Math.min(range.end, start - start % size + size);
      first ??= start;
      held += end - start;
      if (held >= size) {
        yield { start: first, end, held };
        first = undefined;
        held = 0;
        size = Math.min(2 * size, most);
      }
      start = end;
    }
  }
  if (first !== undefined) yield { start: first, end: stored.at(-1)!.end, held };
}
