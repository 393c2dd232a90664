import {
  Z_BUF_ERROR,
  Z_NO_FLUSH,
  Z_OK,
  Z_STREAM_END,
  zlibInflate,
  zlibInflateInit2,
  ZStream,
} from "pako";
import { ByteCache } from "./byte_cache.ts";
import type { ByteReader, ByteSource, SearchOptions, SearchPattern } from "./image_file.ts";
import { type Piece, searchPieces } from "./search_pieces.ts";

/** How much is inflated, and kept, at once. */
const CHUNK = 256 * 1024;
/** How much is taken from the file at once. */
const INPUT = 64 * 1024;
const CACHE_BYTES = 64 * 1024 * 1024;
/** Places to resume at lie this far apart, and farther where there would be too many of them. */
const FIRST_SPACING = 4 * CHUNK;
/** Each takes up to 48 KiB. */
const MAX_PLACES = 4096;
/** A file of a few hundred MiB can say that it holds as much; what it holds takes minutes to find out. */
const MAX_SIZE = 64 * 2 ** 30;

/** A place in a stream from which on it can be inflated. */
interface Place {
  /** pako's whole state, which is plain data; it holds no input. */
  readonly stream: ZStream;
  /** Offsets of the next byte in the file, and of the next one inflated. */
  readonly input: number;
  readonly output: number;
}

/** Whether bytes begin a zlib stream (RFC 1950): method, check bits, no dictionary. */
export function isZlib(head: Uint8Array): boolean {
  const method = head[0] ?? 0;
  const flags = head[1] ?? 0;
  return (method & 0xf) === 8 && method >> 4 <= 7 && (method << 8 | flags) % 31 === 0 &&
    (flags & 0x20) === 0;
}

/**
 * The file inside of one long zlib stream, as LiME writes it with `compress=1` (LiME,
 * src/deflate.c). Such a stream can be read from its beginning only, so it is inflated once to find
 * its length, and places to resume at are kept on the way; a read inflates from the nearest.
 */
export class InflatedFile implements ByteSource {
  readonly name: string;
  readonly size: number;
  /** Damage that was worked around, one sentence each. */
  readonly damage: readonly string[];
  #source: ByteReader;
  /** Ascending; the first is the beginning. */
  #places: Place[];
  #cache = new ByteCache(CACHE_BYTES);
  /** Where the last read stopped: the next one often goes on there. */
  #cursor: Cursor;

  constructor(source: ByteReader) {
    this.name = source.name;
    this.#source = source;
    const cursor = new Cursor(source, undefined);
    this.#places = [cursor.place()];
    let spacing = FIRST_SPACING;
    while (cursor.next() !== undefined && cursor.output < MAX_SIZE) {
      if (cursor.output - this.#places.at(-1)!.output < spacing) continue;
      this.#places.push(cursor.place());
      if (this.#places.length < MAX_PLACES) continue;
      this.#places = this.#places.filter((_, i) => i % 2 === 0);
      spacing *= 2;
    }
    this.size = cursor.output;
    this.#cursor = cursor;
    this.damage = cursor.damage !== undefined
      ? [cursor.damage]
      : cursor.output >= MAX_SIZE
      ? [`more than ${MAX_SIZE} bytes are compressed in it; the rest was not read`]
      : [];
  }

  read(offset: number, length: number): Uint8Array | undefined {
    if (offset < 0 || offset + length > this.size) return undefined;
    const first = this.#chunk(Math.floor(offset / CHUNK));
    const within = offset % CHUNK;
    if (within + length <= first.length) return first.subarray(within, within + length);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const at = offset + done;
      const part = this.#chunk(Math.floor(at / CHUNK)).subarray(at % CHUNK).subarray(
        0,
        length - done,
      );
      if (part.length === 0) return undefined;
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }

  search(patterns: readonly SearchPattern[], options: SearchOptions = {}): number[][] {
    return searchPieces(this.#pieces(options), patterns, options);
  }

  *#pieces({ start = 0, end = this.size }: SearchOptions): Generator<Piece> {
    const last = Math.min(end, this.size);
    for (let index = Math.floor(Math.max(0, start) / CHUNK); index * CHUNK < last; index++) {
      yield { start: index * CHUNK, bytes: this.#chunk(index) };
    }
  }

  /** A chunk inside of the size. */
  #chunk(index: number): Uint8Array {
    const cached = this.#cache.get(index);
    if (cached !== undefined) return cached;
    const start = index * CHUNK;
    const place = this.#places.findLast(({ output }) => output <= start)!;
    if (this.#cursor.output > start || this.#cursor.output < place.output) {
      this.#cursor = new Cursor(this.#source, place);
    }
    for (;;) {
      const key = this.#cursor.output / CHUNK;
      const bytes = this.#cursor.next() ?? new Uint8Array();
      this.#cache.add(key, bytes);
      if (key >= index || bytes.length === 0) return bytes;
    }
  }
}

/** Inflates a stream chunk by chunk. */
class Cursor {
  /** Why the stream ended before its end. */
  damage: string | undefined;
  #source: ByteReader;
  #stream: ZStream;
  #input: number;
  #output: number;
  #ended = false;

  constructor(source: ByteReader, place: Place | undefined) {
    this.#source = source;
    if (place === undefined) {
      this.#stream = new ZStream();
      // 0: as much window as the stream's header says.
      zlibInflateInit2(this.#stream, 0);
    } else {
      this.#stream = structuredClone(place.stream);
    }
    this.#input = place?.input ?? 0;
    this.#output = place?.output ?? 0;
  }

  /** Offset of the next byte. */
  get output(): number {
    return this.#output;
  }

  /** The next chunk; the last may be shorter. Undefined behind it. */
  next(): Uint8Array | undefined {
    if (this.#ended) return undefined;
    const stream = this.#stream;
    const output = new Uint8Array(CHUNK);
    stream.output = output;
    stream.next_out = 0;
    stream.avail_out = CHUNK;
    while (stream.avail_out > 0) {
      if (stream.avail_in === 0) {
        const length = Math.min(INPUT, this.#source.size - this.#input);
        const bytes = length > 0 ? this.#source.read(this.#input, length) : undefined;
        if (bytes === undefined) {
          this.#end("the compressed data is cut short by the end of the file");
          break;
        }
        stream.input = bytes;
        stream.next_in = 0;
        stream.avail_in = length;
        this.#input += length;
      }
      const status = zlibInflate(stream, Z_NO_FLUSH);
      if (status === Z_STREAM_END) {
        this.#end(undefined);
        break;
      }
      if (status !== Z_OK && status !== Z_BUF_ERROR) {
        const at = this.#input - stream.avail_in;
        this.#end(`the compressed data is damaged at ${at}; nothing behind it was read`);
        break;
      }
    }
    const length = CHUNK - stream.avail_out;
    this.#output += length;
    if (length === 0) return undefined;
    return length === CHUNK ? output : output.slice(0, length);
  }

  /** The place before the next chunk. */
  place(): Place {
    const stream = this.#stream;
    const { input, output, avail_in: left } = stream;
    stream.input = EMPTY;
    stream.output = EMPTY;
    stream.avail_in = 0;
    const copy = structuredClone(stream);
    stream.input = input;
    stream.output = output;
    stream.avail_in = left;
    return { stream: copy, input: this.#input - left, output: this.#output };
  }

  #end(damage: string | undefined): void {
    this.#ended = true;
    this.damage = damage;
  }
}

const EMPTY = new Uint8Array();
