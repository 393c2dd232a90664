import { ByteCache } from "./byte_cache.ts";
import type { SearchOptions, SearchPattern } from "./image_file.ts";
import type { AddressRange, PhysicalMemory } from "./physical_memory.ts";
import { type Piece, searchPieces } from "./search_pieces.ts";

/** A stretch of physical memory that is encoded by itself. */
export interface Block extends AddressRange {
  /** Names the encoded bytes; blocks with the same content may share it. */
  readonly key: number;
}

/** A format that holds memory in blocks, each encoded by itself. */
export interface BlockSource {
  readonly format: string;
  readonly ranges: readonly AddressRange[];
  /** The first block that ends after `address`; undefined after the last. */
  seek(address: number): Block | undefined;
  /**
   * The block's bytes, as many as its addresses, in a buffer of their own; undefined where they are
   * damaged.
   */
  decode(block: Block): Uint8Array | undefined;
}

/** How many decoded bytes are kept. */
const CACHE_BYTES = 64 * 1024 * 1024;
/** How many damaged blocks are told apart when they are counted. */
const MAX_DAMAGED = 1_000_000;

/** Physical memory that is decoded as it is read, block by block, with a bounded cache. */
export class BlockMemory implements PhysicalMemory {
  readonly format: string;
  readonly ranges: readonly AddressRange[];
  #source: BlockSource;
  #cache: ByteCache;
  /** The block of the last read: reads cluster, so most need no search. */
  #last: { block: Block; bytes: Uint8Array } | undefined;
  #damaged = new Set<number>();

  constructor(source: BlockSource, cacheBytes = CACHE_BYTES) {
    this.format = source.format;
    this.ranges = source.ranges;
    this.#source = source;
    this.#cache = new ByteCache(cacheBytes);
  }

  get undecodable(): number {
    return this.#damaged.size;
  }

  read(address: number, length: number): Uint8Array | undefined {
    const first = this.#load(address);
    if (first === undefined) return undefined;
    const offset = address - first.block.start;
    if (offset + length <= first.bytes.length) return first.bytes.subarray(offset, offset + length);
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const part = this.#load(address + done);
      if (part === undefined) return undefined;
      const from = address + done - part.block.start;
      const taken = part.bytes.subarray(from, from + length - done);
      bytes.set(taken, done);
      done += taken.length;
    }
    return bytes;
  }

  search(patterns: readonly SearchPattern[], options: SearchOptions = {}): number[][] {
    return searchPieces(this.#pieces(options), patterns, options);
  }

  /** The block that holds `address`, decoded. */
  #load(address: number): { block: Block; bytes: Uint8Array } | undefined {
    const last = this.#last;
    if (last !== undefined && address >= last.block.start && address < last.block.end) return last;
    const block = this.#source.seek(address);
    if (block === undefined || block.start > address) return undefined;
    let bytes = this.#cache.get(block.key);
    if (bytes === undefined) {
      bytes = this.#decode(block);
      if (bytes === undefined) return undefined;
      this.#cache.add(block.key, bytes);
    }
    return this.#last = { block, bytes };
  }

  #decode(block: Block): Uint8Array | undefined {
    const bytes = this.#source.decode(block);
    if (bytes?.length === block.end - block.start) return bytes;
    if (this.#damaged.size < MAX_DAMAGED) this.#damaged.add(block.key);
    return undefined;
  }

  /** Blocks in order. They are not kept: a search would push out what is read again and again. */
  *#pieces({ start = 0, end = Infinity }: SearchOptions): Generator<Piece> {
    for (
      let block = this.#source.seek(start);
      block !== undefined && block.start < end;
      block = this.#source.seek(block.end)
    ) {
      const bytes = this.#cache.get(block.key) ?? this.#decode(block);
      if (bytes !== undefined) yield { start: block.start, bytes };
    }
  }
}
