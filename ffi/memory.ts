/**
 * Memory images over `memory.c`: one read-only mapping, read zero-copy, and a signature search.
 *
 * @module
 */

import { FileError } from "../lib/cli/host.ts";
import type { ImageFile, SearchOptions, SearchPattern } from "../lib/memory/image_file.ts";

/** The C side that this binding was written for; `IOURING_MEMORY_ABI` in memory.c. */
const ABI = 3;

const SYMBOLS = {
  // uint32_t iouring_memory_abi(void)
  iouring_memory_abi: { parameters: [], result: "u32" },
  // int32_t iouring_image_open(const char *path, struct image_info *info)
  iouring_image_open: { parameters: ["buffer", "buffer"], result: "i32" },
  // int32_t iouring_image_close(int32_t handle)
  iouring_image_close: { parameters: ["i32"], result: "i32" },
  // int32_t iouring_image_shrank(int32_t handle)
  iouring_image_shrank: { parameters: ["i32"], result: "i32" },
  // int32_t iouring_image_search(int32_t handle, const struct search_pattern *wanted,
  //   uint32_t count, uint64_t start, uint64_t end, uint32_t limit, uint64_t *out,
  //   uint32_t *counts)
  iouring_image_search: {
    parameters: ["i32", "buffer", "u32", "u64", "u64", "u32", "buffer", "buffer"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The native library, as {@linkcode loadMemoryLibrary} loaded it. */
export type MemoryLibrary = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/**
 * Loads the shim from `path`. It stays loaded: the SIGBUS handler lives in it.
 *
 * @throws {Error} Where it cannot be loaded or is of another build.
 */
export function loadMemoryLibrary(path: string): MemoryLibrary {
  const { symbols } = Deno.dlopen(path, SYMBOLS);
  const abi = symbols.iouring_memory_abi();
  if (abi !== ABI) throw new Error(`Cannot use ${path}: it has ABI ${abi}, ${ABI} is needed`);
  return symbols;
}

// errno values and file types of <errno.h> and <sys/stat.h>, the same on x86-64 and arm64.
const ENOENT = 2;
const ENOMEM = 12;
const EACCES = 13;
const EINVAL = 22;
const EMFILE = 24;
const ENODATA = 61;
const S_IFMT = 0o170000;
const S_IFIFO = 0o010000;
const S_IFCHR = 0o020000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFSOCK = 0o140000;

/** Plain words for an errno of open or mmap. */
const ERRNO_STATES: Readonly<Record<number, string>> = {
  1: "not permitted",
  [ENOENT]: "no such file",
  5: "input/output error",
  6: "no such device",
  [ENOMEM]: "it is larger than what can be mapped",
  [EACCES]: "permission denied",
  19: "it cannot be mapped, scan needs a regular file",
  20: "not a directory on the way to it",
  23: "too many open files in the system",
  [EMFILE]: "too many open files",
  36: "the name is too long",
  40: "too many symbolic links",
};

/** What a file that is no regular file is, in words. */
const TYPE_STATES: Readonly<Record<number, string>> = {
  [S_IFIFO]: "a pipe",
  [S_IFCHR]: "a character device",
  [S_IFDIR]: "a directory",
  [S_IFSOCK]: "a socket",
};

const MAX_PATTERN = 64;
/** `struct search_pattern`: bytes, length, alignment, phase. */
const PATTERN_SIZE = MAX_PATTERN + 3 * 8;
const DEFAULT_LIMIT = 64;

/** Extensions of the files that say more about an image, by how its name ends. */
const COMPANIONS: Readonly<Record<string, readonly string[]>> = { ".vmem": ["vmss", "vmsn"] };

/** An image file that is mapped into memory, read-only. */
export class MappedImage implements ImageFile {
  readonly name: string;
  readonly isMapped = true;
  readonly size: number;
  readonly stored: number;
  #library: MemoryLibrary;
  #handle: number;
  #buffer: ArrayBuffer;
  #bytes: Uint8Array;
  #shrank = false;
  /** Room for what a search finds. */
  #offsets = new BigUint64Array();
  /** Files beside it, by extension, opened while that is still permitted. */
  #others = new Map<string, MappedImage>();

  /**
   * Maps `path`, or standard input where it is `-`.
   *
   * @throws {UnmappableError} Where it is a regular file of a file system that maps none.
   * @throws {FileError} Where it cannot be opened, is empty or is no such file.
   */
  constructor(library: MemoryLibrary, path: string) {
    const info = new BigUint64Array(4);
    const isStdin = path === "-";
    const cPath = isStdin ? null : new TextEncoder().encode(path + "\0");
    const handle = path.includes("\0") ? -ENOENT : library.iouring_image_open(cPath, info);
    if (handle < 0) throw openError(path, -handle, Number(info[3]! & 0xffffffffn) & S_IFMT);
    this.name = path;
    this.size = Number(info[1]!);
    this.stored = Math.min(this.size, Number(info[2]!));
    this.#library = library;
    this.#handle = handle;
    // One view over all of it: every view's length is charged to the garbage collector.
    this.#buffer = Deno.UnsafePointerView.getArrayBuffer(
      Deno.UnsafePointer.create(info[0]!)!,
      this.size,
    );
    this.#bytes = new Uint8Array(this.#buffer);
    const extensions = Object.entries(COMPANIONS).find(([end]) => path.toLowerCase().endsWith(end));
    for (const extension of extensions?.[1] ?? []) {
      try {
        const other = new MappedImage(library, path.replace(/[^.]*$/, extension));
        this.#others.set(extension, other);
      } catch (error) {
        if (!(error instanceof FileError)) throw error;
      }
    }
  }

  /** The whole file. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  read(offset: number, length: number): Uint8Array | undefined {
    if (offset < 0 || offset + length > this.#bytes.length) return undefined;
    return this.#bytes.subarray(offset, offset + length);
  }

  beside(extension: string): MappedImage | undefined {
    return this.#others.get(extension);
  }

  get shrank(): boolean {
    if (this.#handle >= 0) this.#shrank = this.#library.iouring_image_shrank(this.#handle) === 1;
    return this.#shrank;
  }

  search(patterns: readonly SearchPattern[], options: SearchOptions = {}): number[][] {
    const { start = 0, end = this.size, limit = DEFAULT_LIMIT } = options;
    const wanted = new Uint8Array(patterns.length * PATTERN_SIZE);
    patterns.forEach(({ bytes, align = 1, phase = 0 }, i) => {
      if (bytes.length > MAX_PATTERN) {
        throw new RangeError(
          `Cannot search for ${bytes.length} bytes: at most ${MAX_PATTERN} are supported`,
        );
      }
      wanted.set(bytes, i * PATTERN_SIZE);
      const view = new DataView(wanted.buffer, i * PATTERN_SIZE + MAX_PATTERN);
      view.setBigUint64(0, BigInt(bytes.length), true);
      view.setBigUint64(8, BigInt(align), true);
      view.setBigUint64(16, BigInt(phase), true);
    });
    // Kept between calls: images of many ranges are searched range by range.
    if (this.#offsets.length < patterns.length * limit) {
      this.#offsets = new BigUint64Array(patterns.length * limit);
    }
    const offsets = this.#offsets;
    const counts = new Uint32Array(patterns.length);
    const status = this.#library.iouring_image_search(
      this.#handle,
      wanted,
      patterns.length,
      BigInt(start),
      BigInt(Math.min(end, this.size)),
      limit,
      offsets,
      counts,
    );
    if (status === -EINVAL) {
      throw new RangeError("Cannot search for zeros alone or at an alignment of 0");
    }
    if (status < 0) throw new TypeError(`Cannot search "${this.name}": it is closed`);
    return Array.from(
      counts,
      (count, i) => Array.from(offsets.subarray(i * limit, i * limit + count), Number),
    );
  }

  close(): void {
    if (this.#handle < 0) return;
    for (const other of this.#others.values()) other.close();
    this.#shrank = this.shrank;
    // Detach first: a view that outlives the mapping has length 0, and does not fault.
    structuredClone(this.#buffer, { transfer: [this.#buffer] });
    this.#library.iouring_image_close(this.#handle);
    this.#handle = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A regular file of a file system that maps none. */
export class UnmappableError extends FileError {}

function openError(path: string, errno: number, type: number): FileError {
  if (errno === ENODATA) return new FileError("read", path, "file is empty");
  if (type === S_IFREG && path !== "-" && errno !== ENOMEM) {
    return new UnmappableError("map", path, ERRNO_STATES[errno] ?? `error ${errno}`);
  }
  if (errno === EINVAL && TYPE_STATES[type] !== undefined) {
    const what = TYPE_STATES[type];
    if (path !== "-") return new FileError("open", path, `is ${what}`);
    return new FileError(
      "read",
      path,
      `standard input is ${what}, scan needs a file: iouring scan - < dump.raw`,
    );
  }
  const action = type === 0 ? "open" : "read";
  return new FileError(action, path, ERRNO_STATES[errno] ?? `error ${errno}`);
}
