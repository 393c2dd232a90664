import type { ByteReader } from "./image_file.ts";
import type { AddressRange } from "./physical_memory.ts";

/** Bytes whose bits are counted together. */
const CHUNK = 512;
const CHUNK_BITS = CHUNK * 8;
/** How much is read at once, a multiple of a chunk. */
const STEP = 1024 * 1024;
/** Runs that are told apart; what follows counts as one. */
const MAX_RUNS = 65536;

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let ones = 0;
  for (; byte > 0; byte >>= 1) ones += byte & 1;
  return ones;
});

/** A bitmap in a file, bit n of byte m for number 8m + n, that can tell how many bits are set before one. */
export class PageBitmap {
  /** How many bits there are. */
  readonly size: number;
  /** How many are set. */
  readonly count: number;
  #source: ByteReader;
  #offset: number;
  /** How many are set before each chunk. */
  #before: Float64Array;
  /** The chunk that was looked at last. */
  #chunk: Uint8Array = new Uint8Array();
  #chunkIndex = -1;

  /** The bitmap lies inside the source. */
  constructor(source: ByteReader, offset: number, size: number) {
    this.#source = source;
    this.#offset = offset;
    this.size = size;
    const chunks = Math.ceil(size / CHUNK_BITS);
    this.#before = new Float64Array(chunks);
    let count = 0;
    let index = 0;
    const length = Math.ceil(size / 8);
    for (let at = 0; at < length; at += STEP) {
      const bytes = this.#read(at, Math.min(STEP, length - at));
      for (let i = 0; i < bytes.length; i++) {
        if (i % CHUNK === 0) this.#before[index++] = count;
        count += ONES[bytes[i]!]!;
      }
    }
    // Bits behind the last page mean nothing.
    for (let bit = size; bit < length * 8; bit++) if (this.#bit(bit)) count--;
    this.count = count;
  }

  has(bit: number): boolean {
    return bit < this.size && this.#bit(bit);
  }

  /** How many bits below `bit` are set. */
  rank(bit: number): number {
    if (bit >= this.size) return this.count;
    const index = Math.floor(bit / CHUNK_BITS);
    const chunk = this.#load(index);
    const within = bit % CHUNK_BITS;
    const whole = within >>> 3;
    let count = this.#before[index]!;
    for (let i = 0; i < whole; i++) count += ONES[chunk[i]!]!;
    return count + ONES[(chunk[whole] ?? 0) & (1 << (within & 7)) - 1]!;
  }

  /** The first set bit from `bit` on; undefined where there is none. */
  next(bit: number): number | undefined {
    while (bit < this.size) {
      const index = Math.floor(bit / CHUNK_BITS);
      const after = this.#before[index + 1] ?? this.count;
      if (after > this.#before[index]!) {
        const chunk = this.#load(index);
        const end = Math.min(this.size, (index + 1) * CHUNK_BITS);
        while (bit < end) {
          const byte = chunk[(bit % CHUNK_BITS) >>> 3]! >>> (bit & 7);
          if (byte & 1) return bit;
          bit += byte === 0 ? 8 - (bit & 7) : 1;
        }
      }
      bit = (index + 1) * CHUNK_BITS;
    }
    return undefined;
  }

  /** The last set bit below `end`; undefined where there is none. */
  last(end: number): number | undefined {
    const below = this.rank(end);
    if (below === 0) return undefined;
    // The last chunk with fewer bits before it holds the bit.
    let low = 0;
    let high = this.#before.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#before[middle]! < below) low = middle;
      else high = middle;
    }
    let found: number | undefined;
    for (let bit = this.next(low * CHUNK_BITS); bit !== undefined && bit < end;) {
      found = bit;
      bit = this.next(bit + 1);
      if (bit !== undefined && bit >= (low + 1) * CHUNK_BITS) break;
    }
    return found;
  }

  /** Runs of set bits, ascending. Past a bound, they and what is between them count as one. */
  runs(): AddressRange[] {
    const runs: AddressRange[] = [];
    for (let start = this.next(0); start !== undefined;) {
      if (runs.length === MAX_RUNS) {
        runs.push({ start, end: this.size });
        break;
      }
      const end = this.#nextClear(start);
      runs.push({ start, end });
      start = this.next(end);
    }
    return runs;
  }

  #nextClear(bit: number): number {
    while (bit < this.size) {
      const byte = this.#load(Math.floor(bit / CHUNK_BITS))[(bit % CHUNK_BITS) >>> 3]!;
      if (byte === 0xff && (bit & 7) === 0) bit += 8;
      else if (byte >>> (bit & 7) & 1) bit++;
      else return bit;
    }
    return this.size;
  }

  #bit(bit: number): boolean {
    const chunk = this.#load(Math.floor(bit / CHUNK_BITS));
    return ((chunk[(bit % CHUNK_BITS) >>> 3] ?? 0) >>> (bit & 7) & 1) === 1;
  }

  #load(index: number): Uint8Array {
    if (index !== this.#chunkIndex) {
      const length = Math.ceil(this.size / 8);
      this.#chunk = this.#read(index * CHUNK, Math.min(CHUNK, length - index * CHUNK));
      this.#chunkIndex = index;
    }
    return this.#chunk;
  }

  #read(at: number, length: number): Uint8Array {
    return this.#source.read(this.#offset + at, length) ?? new Uint8Array(length);
  }
}
