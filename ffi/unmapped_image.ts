import { FileError } from "../lib/cli/host.ts";
import { ByteCache } from "../lib/memory/byte_cache.ts";
import type { ImageFile, SearchOptions, SearchPattern } from "../lib/memory/image_file.ts";
import { type Piece, searchPieces } from "../lib/memory/search_pieces.ts";
import { stateOf } from "./error_state.ts";

/** How much is read and kept at once. */
const BLOCK = 64 * 1024;
const CACHE_BYTES = 64 * 1024 * 1024;

/**
 * An image that cannot be mapped, read piece by piece with a bounded cache: `/proc/kcore`, whose size
 * is that of the address space.
 */
export class UnmappedImage implements ImageFile {
  readonly name: string;
  readonly isMapped = false;
  readonly size: number;
  #file: Deno.FsFile;
  #cache = new ByteCache(CACHE_BYTES);
  #shrank = false;

  /** @throws {FileError} Where it cannot be opened. */
  constructor(path: string) {
    try {
      this.#file = Deno.openSync(path);
      this.size = this.#file.statSync().size;
    } catch (error) {
      throw new FileError("open", path, stateOf(error));
    }
    this.name = path;
  }

  get shrank(): boolean {
    return this.#shrank;
  }

  read(offset: number, length: number): Uint8Array | undefined {
    if (offset < 0 || offset + length > this.size) return undefined;
    const first = this.#block(Math.floor(offset / BLOCK));
    const within = offset % BLOCK;
    if (first !== undefined && within + length <= first.length) {
      return first.subarray(within, within + length);
    }
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const at = offset + done;
      const block = this.#block(Math.floor(at / BLOCK));
      if (block === undefined) return undefined;
      const part = block.subarray(at % BLOCK).subarray(0, length - done);
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }

  search(patterns: readonly SearchPattern[], options: SearchOptions = {}): number[][] {
    return searchPieces(this.#pieces(options), patterns, options);
  }

  beside(): undefined {
    return undefined;
  }

  close(): void {
    this.#file.close();
  }

  /** Blocks in order, read anew: a search would push out of the cache what is read again. */
  *#pieces({ start = 0, end = this.size }: SearchOptions): Generator<Piece> {
    const last = Math.min(end, this.size);
    for (let index = Math.floor(Math.max(0, start) / BLOCK); index * BLOCK < last; index++) {
      const bytes = this.#cache.get(index) ?? this.#readBlock(index);
      if (bytes !== undefined) yield { start: index * BLOCK, bytes };
    }
  }

  #block(index: number): Uint8Array | undefined {
    const cached = this.#cache.get(index);
    if (cached !== undefined) return cached;
    const bytes = this.#readBlock(index);
    if (bytes !== undefined) this.#cache.add(index, bytes);
    return bytes;
  }

  /** A block inside of the size; undefined where the kernel refuses to read it. */
  #readBlock(index: number): Uint8Array | undefined {
    const start = index * BLOCK;
    const bytes = new Uint8Array(Math.min(BLOCK, this.size - start));
    try {
      for (let done = 0; done < bytes.length;) {
        // Past 2^53 only the start, which is at a page, is exact as a number.
        this.#file.seekSync(BigInt(start) + BigInt(done), Deno.SeekMode.Start);
        const count = this.#file.readSync(bytes.subarray(done));
        if (count === null) {
          this.#shrank = true;
          break;
        }
        done += count;
      }
      return bytes;
    } catch {
      return undefined;
    }
  }
}
