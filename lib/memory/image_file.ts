/** Where a search runs and how much it may return. Offsets are bytes in the file. */
export interface SearchOptions {
  /** First offset that a match may start at. Default 0. */
  readonly start?: number;
  /** End (exclusive) of the bytes a match may lie in. Default: the file's size. */
  readonly end?: number;
  /** A match starts a multiple of this many bytes after `start`. Default 1. */
  readonly align?: number;
  /** Most matches returned. Default 64. */
  readonly limit?: number;
}

/**
 * A memory image as one mapped, read-only file. The native side implements it; tests implement
 * it over a plain buffer.
 */
export interface ImageFile {
  /** The path as the user gave it, for messages. */
  readonly name: string;
  /** Size in bytes when it was opened. */
  readonly size: number;
  /** The whole file, zero-copy. Reading it where the file has since shrunk gives zeros. */
  readonly bytes: Uint8Array;
  /**
   * Offsets of `pattern`, ascending. Holes of a sparse file are skipped without being read (they
   * are zeros, so a pattern never is all zeros), and memory use does not grow with the file.
   */
  search(pattern: Uint8Array, options?: SearchOptions): number[];
  /** True once a read met bytes that the file no longer has (it shrank while mapped). */
  readonly shrank: boolean;
  /** Unmaps. `bytes` has length 0 afterwards. */
  close(): void;
}
