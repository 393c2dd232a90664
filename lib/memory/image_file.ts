/** What to look for, and where it may start. */
export interface SearchPattern {
  /** At most 64 bytes, not all of them zero. */
  readonly bytes: Uint8Array;
  /** Offsets or addresses of matches are `phase` modulo this. Default 1, which is anywhere. */
  readonly align?: number;
  /** Less than `align`. Default 0. */
  readonly phase?: number;
}

/** Where a search runs, by offsets or addresses, and how much it may return. */
export interface SearchOptions {
  /** First place that a match may start at. Default 0. */
  readonly start?: number;
  /** End (exclusive) of the bytes a match may lie in. Default: all there is. */
  readonly end?: number;
  /** Most matches of each pattern. Default 64. */
  readonly limit?: number;
}

/** Bytes that can be read at any offset: a file, or what an encoding of one holds. */
export interface ByteReader {
  /** Name of the file, for messages. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /** Bytes that there are beside holes, which read as zeros. Default: all. */
  readonly stored?: number;
  /**
   * `length` bytes at an offset, zero-copy where they lie in memory as they are, or undefined where
   * they end past `size` or cannot be had. They are not to be written to.
   */
  read(offset: number, length: number): Uint8Array | undefined;
}

/** Bytes that can be searched, too. */
export interface ByteSource extends ByteReader {
  /**
   * Offsets of each pattern, ascending, found in one pass. Holes of a sparse file are skipped
   * without being read (they are zeros, so a pattern never is all zeros), and memory use does not
   * grow with the file.
   */
  search(patterns: readonly SearchPattern[], options?: SearchOptions): number[][];
}

/**
 * A memory image as a file. The host implements it, mapped where the file can be; tests implement it
 * over a plain buffer.
 */
export interface ImageFile extends ByteSource {
  /** False where the file cannot be mapped, and is read piece by piece: `/proc/kcore`. */
  readonly isMapped: boolean;
  /** True once a read met bytes that the file no longer has (it shrank); they read as zeros. */
  readonly shrank: boolean;
  /**
   * The file whose name differs from this one's in the extension, which is given without its dot;
   * undefined where there is none, or where none is known for such images. It is closed with this.
   */
  beside(extension: string): ImageFile | undefined;
  /** Lets go of the file. Nothing can be read afterwards. */
  close(): void;
}
