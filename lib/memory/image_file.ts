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

/** Bytes that can be read at any offset: a file, or what an encoding of one holds. */
export interface ByteReader {
  /** Name of the file, for messages. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /**
   * `length` bytes at an offset, zero-copy where they lie in memory as they are, or undefined where
   * they end past `size` or cannot be had. They are not to be written to.
   */
  read(offset: number, length: number): Uint8Array | undefined;
}

/** Bytes that can be searched, too. */
export interface ByteSource extends ByteReader {
  /**
   * Offsets of `pattern`, ascending. Holes of a sparse file are skipped without being read (they
   * are zeros, so a pattern never is all zeros), and memory use does not grow with the file.
   */
  search(pattern: Uint8Array, options?: SearchOptions): number[];
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
