import type { Block, BlockSource } from "./block_memory.ts";
import type { ByteReader } from "./image_file.ts";
import { indexBehind, type MemoryRange } from "./physical_memory.ts";

/** A multiple of a page. */
const BLOCK = 64 * 1024;

/**
 * The segments of a core that cannot be mapped, read in blocks: `/proc/kcore`. Offsets there are
 * parts of virtual addresses (`kc_vaddr_to_offset`), and on a machine with 5-level paging lie past
 * 2^53, where a number holds them exactly only at pages; blocks begin and end there.
 */
export class CoreBlocks implements BlockSource {
  readonly format = "kcore";
  readonly ranges: readonly MemoryRange[];
  #source: ByteReader;

  /** `ranges` are ascending and do not overlap. */
  constructor(source: ByteReader, ranges: readonly MemoryRange[]) {
    this.#source = source;
    this.ranges = ranges;
  }

  seek(address: number): Block | undefined {
    const range = this.ranges[indexBehind(this.ranges, address)];
    if (range === undefined) return undefined;
    const index = Math.floor(Math.max(0, address - range.start) / BLOCK);
    const start = range.start + index * BLOCK;
    return { start, end: Math.min(start + BLOCK, range.end), key: start };
  }

  decode({ start, end }: Block): Uint8Array | undefined {
    const range = this.ranges[indexBehind(this.ranges, start)]!;
    return this.#source.read(range.offset + (start - range.start), end - start)?.slice();
  }
}
