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
