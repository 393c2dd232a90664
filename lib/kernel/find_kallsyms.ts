import { viewOf } from "../uapi/bytes.ts";
import type { AddressSpace, Mapping } from "./address_space.ts";
import type { KallsymsTables } from "./kallsyms.ts";
import { MemoryFault } from "./memory_fault.ts";
import { KERNEL_IMAGE_END, KERNEL_IMAGE_START } from "./symbols.ts";

/** `"0\0" … "9\0"`: single digits stand for themselves in every token table. */
const DIGITS = new Uint8Array([..."0123456789"].flatMap((c) => [c.charCodeAt(0), 0]));
const TOKENS = 256;
/** What a search costs of a {@linkcode ReadBudget}: it is native and fast, but a call. */
const UNITS_PER_SEARCH = 256;
const SEARCHED_PER_UNIT = 1024;

/**
 * Finds the tables of kallsyms in the kernel's image without any symbol, by the shape of the token
 * table and what must lie around it. Yields every way to read what was found, most recent layout
 * first; decoding shows which is right.
 *
 * The orders of the tables are those of `scripts/kallsyms.c`:
 * up to 6.1: offsets, relative_base, num_syms, names, markers, token_table, token_index;
 * 6.2 and 6.3: seqs_of_names after markers;
 * 6.4 on: num_syms, names, markers, token_table, token_index, offsets, relative_base;
 * 7.0 on: without relative_base, and aligned to 4 bytes where it was 8.
 */
export function* findKallsyms(space: AddressSpace): Generator<KallsymsTables> {
  const mappings = [...space.mappings(KERNEL_IMAGE_START, KERNEL_IMAGE_END)];
  const image = new Image(space, mappings);
  for (const { start, length, physical } of mappings) {
    const end = physical + length;
    if (!space.budget.spend(UNITS_PER_SEARCH + length / SEARCHED_PER_UNIT)) return;
    const within = { start: physical, end, limit: 4096 };
    const [hits = []] = space.physical.search([{ bytes: DIGITS }], within);
    for (const hit of hits) {
      const digits = image.offset(start) + (hit - physical);
      const tokens = tokenTables(image, digits);
      if (tokens === undefined) continue;
      for (const markers of findMarkers(image, tokens.table)) {
        if (space.budget.isSpent) return;
        const names = findNames(image, markers);
        if (names === undefined) continue;
        yield* addressTables(image, names, tokens);
      }
    }
  }
}

/** The kernel's image by offsets from its first mapped byte. */
class Image {
  readonly length: number;
  #start: bigint;
  #space: AddressSpace;

  constructor(space: AddressSpace, mappings: readonly Mapping[]) {
    const last = mappings.at(-1);
    this.#space = space;
    this.#start = mappings[0]?.start ?? KERNEL_IMAGE_START;
    this.length = last === undefined ? 0 : Number(last.start - this.#start) + last.length;
  }

  address(offset: number): bigint {
    return this.#start + BigInt(offset);
  }

  offset(address: bigint): number {
    return Number(address - this.#start);
  }

  /** Bytes at an offset, or undefined where they cannot be read. */
  bytes(offset: number, length: number): Uint8Array | undefined {
    if (offset < 0 || length < 0 || offset + length > this.length) return undefined;
    try {
      return this.#space.read(this.address(offset), length);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      return undefined;
    }
  }

  /** Bytes at an offset, up to the first page that cannot be read. */
  bytesUpTo(offset: number, most: number): Uint8Array {
    let bytes = new Uint8Array();
    for (let length = PAGE_SIZE - offset % PAGE_SIZE;; length += PAGE_SIZE) {
      const longer = this.bytes(offset, Math.min(length, most));
      if (longer === undefined) return bytes;
      bytes = longer.slice();
      if (length >= most) return bytes;
    }
  }

  view(offset: number, length: number): DataView | undefined {
    const bytes = this.bytes(offset, length);
    return bytes && viewOf(bytes);
  }

  /** The lowest offset, at most `most` bytes before `offset`, from which all can be read up to it. */
  readableFrom(offset: number, most: number): number {
    let from = offset;
    while (from > 0 && offset - from < most) {
      const page = Math.max(0, Math.floor((from - 1) / PAGE_SIZE) * PAGE_SIZE);
      if (!this.#space.isReadable(this.address(page))) break;
      from = page;
    }
    return from;
  }
}

const PAGE_SIZE = 4096;

interface TokenTables {
  /** Offsets in the image. */
  readonly table: number;
  readonly index: number;
}

/** The token table around a run of digits, proven by the index that follows it. */
function tokenTables(image: Image, digits: number): TokenTables | undefined {
  // The table may end the part of the image that is there, as in a slice.
  const rest = image.bytesUpTo(digits, Math.min(16 * 1024, image.length - digits));
  let end = 0;
  for (let token = 0x30; token < TOKENS; token++) {
    end = rest.indexOf(0, end) + 1;
    if (end === 0) return undefined;
  }
  for (const align of [8, 4]) {
    const at = Math.ceil((digits + end) / align) * align;
    const index = image.view(at, TOKENS * 2);
    if (index === undefined || index.getUint16(0, true) !== 0) continue;
    const table = digits - index.getUint16(0x30 * 2, true);
    let ascending = true;
    for (let i = 1; i < TOKENS && ascending; i++) {
      ascending = index.getUint16(i * 2, true) > index.getUint16(i * 2 - 2, true);
    }
    const last = index.getUint16(2 * TOKENS - 2, true);
    if (ascending && table >= 0 && table + last < digits + end) return { table, index: at };
  }
  return undefined;
}

interface Markers {
  /** Offset in the image. */
  readonly at: number;
  /** One for each 256 symbols. */
  readonly count: number;
  /** Offset in the names of symbol 256, and of the last marked symbol. */
  readonly second: number;
  readonly last: number;
}

/** `seqs_of_names` has 3 bytes a symbol and may lie between markers and tokens. */
const MAX_MARKER_DISTANCE = 4 * 1024 * 1024;
/** Bytes of 256 names: each has a length byte and at least one token, at most 255. */
const MIN_MARKER_STEP = 256 * 2;
const MAX_MARKER_STEP = 256 * 128;

/** Ascending runs of 32-bit offsets before the token table that start with 0. */
function* findMarkers(image: Image, table: number): Generator<Markers> {
  const from = image.readableFrom(table, MAX_MARKER_DISTANCE);
  const view = image.view(from, table - from);
  if (view === undefined) return;
  const length = Math.floor(view.byteLength / 4);
  const value = (i: number) => view.getUint32(i * 4, true);
  const isStep = (i: number) => {
    const step = value(i) - value(i - 1);
    return step >= MIN_MARKER_STEP && step <= MAX_MARKER_STEP;
  };
  // A kernel with fewer than 16 * 256 symbols does not exist.
  for (let i = length - 2; i >= 0; i--) {
    if (value(i) !== 0 || !isStep(i + 1)) continue;
    let count = 1;
    while (i + count < length && isStep(i + count)) count++;
    if (count < 16) continue;
    yield { at: from + i * 4, count, second: value(i + 1), last: value(i + count - 1) };
  }
}

interface Names {
  /** Offsets in the image. */
  readonly numSyms: number;
  readonly names: number;
  readonly count: number;
}

/** `names`, which ends where the markers start, and `num_syms` before it. */
function findNames(image: Image, markers: Markers): Names | undefined {
  // The last marker's names, at most 256 of them, lie between it and the markers.
  const latest = markers.at - markers.last;
  const earliest = Math.max(4, latest - MAX_MARKER_STEP - 16);
  for (let names = Math.floor(latest / 4) * 4; names >= earliest; names -= 4) {
    for (const gap of [8, 4]) {
      const numSyms = names - gap;
      const count = image.view(numSyms, 4)?.getUint32(0, true) ?? 0;
      // Newer kernels may pad the markers' run, so the count may be one step off.
      if (Math.abs(Math.ceil(count / 256) - markers.count) > 1) continue;
      if (stepOf256(image, names) === markers.second) return { numSyms, names, count };
    }
  }
  return undefined;
}

/** Bytes that the first 256 names take. */
function stepOf256(image: Image, names: number): number {
  const bytes = image.bytes(names, MAX_MARKER_STEP + 256);
  if (bytes === undefined) return -1;
  let at = 0;
  for (let i = 0; i < 256; i++) {
    let length = bytes[at++] ?? 0;
    if (length > 0x7f) length = (length & 0x7f) | (bytes[at++] ?? 0) << 7;
    if (length === 0) return -1;
    at += length;
  }
  return at;
}

/** The places where the addresses may lie, after the tokens or before the names. */
function* addressTables(
  image: Image,
  { numSyms, names, count }: Names,
  tokens: TokenTables,
): Generator<KallsymsTables> {
  const common = {
    numSyms: image.address(numSyms),
    names: image.address(names),
    tokenTable: image.address(tokens.table),
    tokenIndex: image.address(tokens.index),
  };
  const up = (offset: number, align: number) => Math.ceil(offset / align) * align;
  const after = up(tokens.index + TOKENS * 2, 4);
  yield {
    ...common,
    offsets: image.address(up(after, 8)),
    addresses: undefined,
    relativeBase: image.address(up(up(after, 8) + count * 4, 8)),
  };
  yield {
    ...common,
    offsets: image.address(after),
    addresses: undefined,
    relativeBase: undefined,
  };
  const base = numSyms - 8;
  const offsets = base - up(count * 4, 8);
  if (offsets >= 0) {
    yield {
      ...common,
      offsets: image.address(offsets),
      addresses: undefined,
      relativeBase: image.address(base),
    };
  }
  yield {
    ...common,
    offsets: undefined,
    addresses: image.address(up(after, 8)),
    relativeBase: undefined,
  };
  if (numSyms - count * 8 >= 0) {
    yield {
      ...common,
      offsets: undefined,
      addresses: image.address(numSyms - count * 8),
      relativeBase: undefined,
    };
  }
}
