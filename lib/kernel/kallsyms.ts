import { viewOf } from "../uapi/bytes.ts";
import type { AddressSpace } from "./address_space.ts";
import type { KernelSymbols } from "./symbols.ts";

/** The kernel's symbol table cannot be decoded. */
export class KallsymsError extends Error {
  override readonly name = "KallsymsError";
}

/** Virtual addresses of the tables that `scripts/kallsyms.c` writes into a kernel. */
export interface KallsymsTables {
  /** Of `kallsyms_num_syms`, a 32-bit count. */
  readonly numSyms: bigint;
  readonly names: bigint;
  readonly tokenTable: bigint;
  readonly tokenIndex: bigint;
  /** Of 32-bit offsets, or undefined where 64-bit addresses are kept. */
  readonly offsets: bigint | undefined;
  /** Of `kallsyms_addresses`, 64-bit (CONFIG_KALLSYMS_BASE_RELATIVE=n). */
  readonly addresses: bigint | undefined;
  /** Of `kallsyms_relative_base`, or undefined (it is gone since Linux 7.0). */
  readonly relativeBase: bigint | undefined;
}

/** How a table turns an index into an address. */
export type AddressEncoding = "absolute" | "base_relative" | "absolute_percpu" | "place_relative";

/** A kernel has 50,000 to 300,000 symbols; far more is damage. */
const MAX_SYMBOLS = 4_000_000;
const MAX_NAME_BYTES = 32 * 1024 * 1024;
const TOKENS = 256;
const SYMBOLS_PER_MARKER = 256;
/** Markers follow the names at a multiple of this at most. */
const MARKERS_ALIGN = 8;
/** Bytes of 256 names: each has a length byte and at least one token, at most 255. */
const MIN_MARKER_STEP = 256 * 2;
const MAX_MARKER_STEP = 256 * 128;
/** Length of a name that is not known; a longer one is noted as {@linkcode LONGEST}. */
const LOST = 0xffff;
const LONGEST = LOST - 1;
/** 256 tokens of at most some dozen characters. */
const MAX_TOKEN_TABLE = 16 * 1024;

/** The kernel's own symbols (`kernel/kallsyms.c`), decoded from its memory. */
export class Kallsyms implements KernelSymbols {
  readonly count: number;
  readonly encoding: AddressEncoding;
  /** What of the names is lost, in a sentence; undefined where all could be read. */
  readonly damage: string | undefined;
  #names: Uint8Array;
  /** Where each symbol's tokens start in the names, and how many follow. */
  #starts: Uint32Array;
  #tokenCounts: Uint16Array;
  /** Length in characters of each decoded name without its type letter. */
  #lengths: Uint16Array;
  #tokens: string[];
  #tokenLengths: readonly number[];
  #values: DataView;
  #tables: KallsymsTables;
  #base: bigint;
  #cache = new Map<string, readonly bigint[]>();

  /**
   * Decodes the tables. The address encoding is the one in which `isAt` accepts the address that it
   * gives for `_stext`, or where that name is lost, for `linux_banner`.
   *
   * Where names are damaged, those of the same 256 are lost, and no others: `kallsyms_markers` says
   * where the next begin.
   *
   * @throws {KallsymsError} when the tables do not hold together.
   * @throws {MemoryFault} when they cannot be read.
   */
  constructor(
    space: AddressSpace,
    tables: KallsymsTables,
    isAt: (symbol: string, address: bigint) => boolean,
  ) {
    this.#tables = tables;
    this.count = viewOf(space.read(tables.numSyms, 4)).getUint32(0, true);
    if (this.count < 256 || this.count > MAX_SYMBOLS) {
      throw new KallsymsError(`kallsyms_num_syms is ${this.count}`);
    }
    this.#tokens = readTokens(space, tables);
    this.#tokenLengths = this.#tokens.map((token) => token.length);
    const span = Number(tables.tokenTable - tables.names);
    if (span <= 0 || span > MAX_NAME_BYTES) {
      throw new KallsymsError(`kallsyms_names spans ${span} bytes`);
    }
    this.#names = space.read(tables.names, span);
    this.#starts = new Uint32Array(this.count);
    this.#tokenCounts = new Uint16Array(this.count);
    this.#lengths = new Uint16Array(this.count);
    const lost = this.#index();
    this.damage = lost === 0 ? undefined : `${lost} of ${this.count} names in kallsyms are lost`;

    const values = tables.addresses ?? tables.offsets;
    if (values === undefined) throw new KallsymsError("there is no table of addresses");
    const bytes = space.read(values, this.count * (tables.addresses === undefined ? 4 : 8));
    this.#values = viewOf(bytes);
    this.#base = tables.relativeBase === undefined ? 0n : space.readPointer(tables.relativeBase);
    this.encoding = this.#chooseEncoding(isAt);
  }

  lookup(name: string): bigint | undefined {
    return this.lookupAll(name)[0];
  }

  lookupAll(name: string): readonly bigint[] {
    let found = this.#cache.get(name);
    if (found === undefined) {
      found = this.#indexesOf(name).map((index) => this.#address(index, this.encoding));
      this.#cache.set(name, found);
    }
    return found;
  }

  #indexesOf(name: string): number[] {
    const indexes: number[] = [];
    for (let i = 0; i < this.count; i++) {
      if (this.#lengths[i] === name.length && this.#nameAt(i) === name) indexes.push(i);
    }
    return indexes;
  }

  /** A name without the type letter that precedes it. */
  #nameAt(index: number): string {
    let text = "";
    const start = this.#starts[index]!;
    const end = start + this.#tokenCounts[index]!;
    for (let at = start; at < end; at++) text += this.#tokens[this.#names[at]!]!;
    return text.slice(1);
  }

  /** Records where each name lies; the number of those that are lost. */
  #index(): number {
    const end = this.#walk(0, 0, this.count);
    if (end !== undefined && this.#agreesWithMarkers(end)) return 0;
    return this.#salvage();
  }

  /**
   * Records the names of some symbols that begin at an offset; the offset after the last, or
   * undefined where there are not as many.
   */
  #walk(at: number, first: number, last: number): number | undefined {
    const names = this.#names;
    const tokenLengths = this.#tokenLengths;
    for (let i = first; i < last; i++) {
      let length = names[at++];
      // Since Linux 6.1 (73bbb94466fd) a long name has its length in two bytes of 7 bits.
      if (length !== undefined && length > 0x7f) length = (length & 0x7f) | (names[at++] ?? 0) << 7;
      if (length === undefined || length === 0 || at + length > names.length) return undefined;
      let characters = -1;
      for (let j = at; j < at + length; j++) characters += tokenLengths[names[j]!]!;
      this.#starts[i] = at;
      this.#tokenCounts[i] = length;
      this.#lengths[i] = Math.max(0, Math.min(characters, LONGEST));
      at += length;
    }
    return at;
  }

  /**
   * Whether `kallsyms_markers`, the offset of every 256th name, lie behind the names and say the
   * same. One damaged length would give all later names the addresses of others.
   */
  #agreesWithMarkers(end: number): boolean {
    const view = viewOf(this.#names);
    const count = Math.ceil(this.count / SYMBOLS_PER_MARKER);
    // Aligned to 8 bytes, since Linux 7.0 to 4.
    return [8, 4].some((align) => {
      const markers = Math.ceil(end / align) * align;
      if (markers + count * 4 > view.byteLength) return false;
      for (let i = 0; i < count; i++) {
        const at = view.getUint32(markers + i * 4, true);
        // A name's tokens start behind its length, which has one byte or two.
        const distance = this.#starts[i * SYMBOLS_PER_MARKER]! - at;
        if (distance !== 1 && distance !== 2) return false;
      }
      return true;
    });
  }

  /**
   * Records the names that damage leaves, 256 at a time: a block counts that ends where the next
   * one begins. The number of names in the other blocks.
   */
  #salvage(): number {
    const blocks = Math.ceil(this.count / SYMBOLS_PER_MARKER);
    const { values, at: namesEnd } = findMarkers(this.#names, blocks);
    const walk = (start: number, block: number) =>
      this.#walk(
        start,
        block * SYMBOLS_PER_MARKER,
        Math.min((block + 1) * SYMBOLS_PER_MARKER, this.count),
      );
    const isStart = (block: number, at: number | undefined) =>
      at !== undefined &&
      (block < blocks ? at === values[block] : at <= namesEnd && namesEnd - at < MARKERS_ALIGN);
    let lost = 0;
    let before: number | undefined;
    for (let block = 0; block < blocks; block++) {
      // Where a marker is damaged, the blocks before and behind it still fit together.
      const start = before ?? values[block]!;
      const end = walk(start, block);
      const fits = end !== undefined && (isStart(block + 1, end) ||
        block + 1 < blocks && isStart(block + 2, walk(end, block + 1)));
      before = fits ? end : undefined;
      if (fits) continue;
      const first = block * SYMBOLS_PER_MARKER;
      const last = Math.min(first + SYMBOLS_PER_MARKER, this.count);
      this.#tokenCounts.fill(0, first, last);
      this.#lengths.fill(LOST, first, last);
      lost += last - first;
    }
    if (lost * 2 > this.count) {
      throw new KallsymsError("kallsyms_names does not agree with kallsyms_markers");
    }
    return lost;
  }

  #chooseEncoding(isAt: (symbol: string, address: bigint) => boolean): AddressEncoding {
    const possible: AddressEncoding[] = this.#tables.addresses !== undefined
      ? ["absolute"]
      : this.#tables.relativeBase !== undefined
      ? ["base_relative", "absolute_percpu"]
      : ["place_relative"];
    for (const symbol of ["_stext", "linux_banner"]) {
      const index = this.#indexesOf(symbol)[0];
      if (index === undefined) continue;
      const encoding = possible.find((encoding) => isAt(symbol, this.#address(index, encoding)));
      if (encoding !== undefined) return encoding;
      throw new KallsymsError(`no address encoding puts ${symbol} where it is`);
    }
    throw new KallsymsError("there is no symbol _stext");
  }

  #address(index: number, encoding: AddressEncoding): bigint {
    switch (encoding) {
      case "absolute":
        return this.#values.getBigUint64(index * 8, true);
      case "base_relative":
        return BigInt.asUintN(64, this.#base + BigInt(this.#values.getUint32(index * 4, true)));
      case "absolute_percpu": {
        const offset = BigInt(this.#values.getInt32(index * 4, true));
        return BigInt.asUintN(64, offset >= 0n ? offset : this.#base - 1n - offset);
      }
      case "place_relative": {
        const place = this.#tables.offsets! + BigInt(index * 4);
        return BigInt.asUintN(64, place + BigInt(this.#values.getInt32(index * 4, true)));
      }
    }
  }
}

/** The 256 strings that stand for the bytes of a compressed name. */
function readTokens(space: AddressSpace, tables: KallsymsTables): string[] {
  const index = space.read(tables.tokenIndex, TOKENS * 2);
  const span = Number(tables.tokenIndex - tables.tokenTable);
  if (span <= 0 || span > MAX_TOKEN_TABLE) {
    throw new KallsymsError(`kallsyms_token_table spans ${span} bytes`);
  }
  const table = space.read(tables.tokenTable, span);
  const tokens: string[] = [];
  for (let i = 0; i < TOKENS; i++) {
    const start = index[i * 2]! | index[i * 2 + 1]! << 8;
    const end = table.indexOf(0, start);
    if (end < 0) throw new KallsymsError(`token ${i} ends outside the table`);
    tokens.push(LATIN1.decode(table.subarray(start, end)));
  }
  return tokens;
}

/** The markers behind names: of what looks like them, where the fewest are out of step. */
function findMarkers(names: Uint8Array, count: number): { at: number; values: Uint32Array } {
  const words = new Uint32Array(names.slice(0, names.length & ~3).buffer);
  let best = 0;
  let fewest = count;
  for (let at = 0; at + count <= words.length; at++) {
    if (words[at] !== 0) continue;
    let wrong = 0;
    for (let i = at + 1; i < at + count && wrong < fewest; i++) {
      const step = words[i]! - words[i - 1]!;
      if (step < MIN_MARKER_STEP || step > MAX_MARKER_STEP) wrong++;
    }
    if (wrong >= fewest) continue;
    fewest = wrong;
    best = at;
  }
  return { at: best * 4, values: words.subarray(best, best + count) };
}

const LATIN1 = new TextDecoder("latin1");
