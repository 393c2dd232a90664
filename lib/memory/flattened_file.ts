import type { ByteReader, ByteSource, SearchOptions, SearchPattern } from "./image_file.ts";
import { type Piece, searchPieces } from "./search_pieces.ts";

/** `MAKEDUMPFILE_SIGNATURE`, padded with zeros. */
export const FLATTENED_MAGIC = [
  ...[0x6d, 0x61, 0x6b, 0x65, 0x64, 0x75, 0x6d, 0x70],
  ...[0x66, 0x69, 0x6c, 0x65, 0x00, 0x00, 0x00, 0x00],
] as const;

/** `MAX_SIZE_MDF_HEADER`: where the first data header is. */
const FIRST_HEADER = 4096;
/** Offset and length, both signed and big-endian. */
const HEADER_SIZE = 16;
/** `END_FLAG_FLAT_HEADER`. */
const END = -1n;
/**
 * Pieces that a file may have: so many, and one for each page of it. Writers flush some 16 KiB at
 * once, and parts of bitmaps page by page.
 */
const LEAST_PIECES = 65_536;
const PAGE = 4096;
/** No dump is longer: a processor maps so much at most. */
const MAX_SIZE = 2 ** 47;
/** How much a search reads at once. */
const STEP = 1024 * 1024;

/**
 * The file inside of a flattened one (makedumpfile, option -F; QEMU, dump/dump.c): stretches of a
 * file in the order in which they were written, each with the offset that it belongs to. A later one
 * overwrites an earlier one, and what none covers is zeros, or, in a file that is damaged, not known.
 */
export class FlattenedFile implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly stored: number;
  /** Damage that was worked around, one sentence each. */
  readonly damage: readonly string[];
  #source: ByteReader;
  /** First offset, end, and offset in the outer file of each piece, ascending, not overlapping. */
  #pieces: Float64Array;

  constructor(source: ByteReader) {
    const damage: string[] = [];
    this.name = source.name;
    this.#source = source;
    this.#pieces = overlaid(readPieces(source, damage));
    this.size = this.#pieces.at(-2) ?? 0;
    this.stored = storedBy(this.#pieces);
    this.damage = damage;
  }

  read(offset: number, length: number): Uint8Array | undefined {
    const end = offset + length;
    if (offset < 0 || end > this.size) return undefined;
    let at = this.#find(offset);
    if (offset >= this.#pieces[at]! && end <= this.#pieces[at + 1]!) {
      return this.#source.read(this.#pieces[at + 2]! + offset - this.#pieces[at]!, length);
    }
    const bytes = new Uint8Array(length);
    let missing = length;
    for (; at < this.#pieces.length && this.#pieces[at]! < end; at += 3) {
      const start = this.#pieces[at]!;
      const from = Math.max(offset, start);
      const to = Math.min(end, this.#pieces[at + 1]!);
      const part = this.#source.read(this.#pieces[at + 2]! + from - start, to - from);
      if (part === undefined) return undefined;
      bytes.set(part, from - offset);
      missing -= part.length;
    }
    return missing === 0 || this.damage.length === 0 ? bytes : undefined;
  }

  search(patterns: readonly SearchPattern[], options: SearchOptions = {}): number[][] {
    return searchPieces(this.#steps(options), patterns, options);
  }

  *#steps({ start = 0, end = this.size }: SearchOptions): Generator<Piece> {
    const last = Math.min(end, this.size);
    for (let at = start; at < last; at += STEP) {
      // What no piece covers is zeros: only the end of such a gap may be the front of a match.
      const next = this.#pieces[this.#find(at)]!;
      if (next > at + STEP) at = next - STEP;
      if (at >= last) break;
      const bytes = this.read(at, Math.min(STEP, last - at));
      if (bytes !== undefined) yield { start: at, bytes };
    }
  }

  /** Index of the first piece that ends after `offset`. */
  #find(offset: number): number {
    let low = 0;
    let high = this.#pieces.length / 3;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#pieces[3 * middle + 1]! <= offset) low = middle + 1;
      else high = middle;
    }
    return 3 * low;
  }
}

/** How many bytes the pieces hold together. */
function storedBy(pieces: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < pieces.length; i += 3) sum += pieces[i + 1]! - pieces[i]!;
  return sum;
}

/** The pieces as they lie in the file: offset, end, offset in the outer file. */
function readPieces(source: ByteReader, damage: string[]): Float64Array {
  const most = LEAST_PIECES + Math.floor(source.size / PAGE);
  let pieces = new Float64Array(3 * 1024);
  let used = 0;
  let at = FIRST_HEADER;
  for (;;) {
    const header = source.read(at, HEADER_SIZE);
    if (header === undefined) {
      damage.push("the file is cut short: its end mark is missing");
      break;
    }
    const view = new DataView(header.buffer, header.byteOffset, HEADER_SIZE);
    if (view.getBigInt64(0, false) === END) break;
    const offset = Number(view.getBigInt64(0, false));
    const length = Number(view.getBigInt64(8, false));
    if (used >= 3 * most) {
      damage.push(`more than ${most} pieces; nothing behind ${at} was read`);
      break;
    }
    if (offset < 0 || length <= 0 || offset + length > MAX_SIZE) {
      damage.push(`no data header at ${at}; nothing behind it was read`);
      break;
    }
    at += HEADER_SIZE;
    const held = Math.min(length, source.size - at);
    if (held > 0) {
      if (used === pieces.length) {
        const larger = new Float64Array(2 * used);
        larger.set(pieces);
        pieces = larger;
      }
      pieces[used++] = offset;
      pieces[used++] = offset + held;
      pieces[used++] = at;
    }
    at += length;
  }
  return pieces.slice(0, used);
}

/** The pieces sorted, with the parts cut out that a later piece overwrites. */
function overlaid(pieces: Float64Array): Float64Array {
  const order = Uint32Array.from({ length: pieces.length / 3 }, (_, i) => 3 * i)
    .sort((a, b) => pieces[a]! - pieces[b]! || a - b);
  const sorted = new Float64Array(pieces.length);
  let overlap = false;
  order.forEach((from, i) => {
    sorted.set(pieces.subarray(from, from + 3), 3 * i);
    if (i > 0 && sorted[3 * i]! < sorted[3 * i - 2]!) overlap = true;
  });
  return overlap ? withoutOverwritten(pieces, order) : sorted;
}

/**
 * Walks along the offsets; of the pieces that cover one, the last written counts. Each piece enters
 * and leaves the heap once, so hostile ones cost no more than a sort.
 */
function withoutOverwritten(pieces: Float64Array, order: Uint32Array): Float64Array {
  const result: number[] = [];
  const active = new MaxHeap();
  let next = 0;
  let at = 0;
  while (next < order.length || active.top !== undefined) {
    if (active.top === undefined) at = Math.max(at, pieces[order[next]!]!);
    while (next < order.length && pieces[order[next]!]! <= at) active.push(order[next++]!);
    while (active.top !== undefined && pieces[active.top + 1]! <= at) active.pop();
    const piece = active.top;
    if (piece === undefined) continue;
    const end = Math.min(pieces[piece + 1]!, pieces[order[next] ?? -1] ?? Infinity);
    result.push(at, end, pieces[piece + 2]! + at - pieces[piece]!);
    at = end;
  }
  return Float64Array.from(result);
}

/** A binary heap with the largest number on top. */
class MaxHeap {
  #items: number[] = [];

  get top(): number | undefined {
    return this.#items[0];
  }

  push(item: number): void {
    const items = this.#items;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (items[parent]! >= item) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  pop(): void {
    const items = this.#items;
    const item = items.pop()!;
    if (items.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < items.length && items[child + 1]! > items[child]!) child++;
      if (child >= items.length || items[child]! <= item) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
  }
}
