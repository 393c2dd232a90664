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
/** 256 tokens of at most some dozen characters. */
const MAX_TOKEN_TABLE = 16 * 1024;

/** The kernel's own symbols (`kernel/kallsyms.c`), decoded from its memory. */
export class Kallsyms implements KernelSymbols {
  readonly count: number;
  readonly encoding: AddressEncoding;
  #names: Uint8Array;
  /** Where each symbol's tokens start in the names, and how many follow. */
  #starts: Uint32Array;
  #tokenCounts: Uint16Array;
  /** Length in characters of each decoded name without its type letter. */
  #lengths: Uint16Array;
  #tokens: string[];
  #values: DataView;
  #tables: KallsymsTables;
  #base: bigint;
  #cache = new Map<string, readonly bigint[]>();

  /**
   * Decodes the tables. The address encoding is the one in which `isStext` accepts the address
   * that it gives for `_stext`.
   *
   * @throws {KallsymsError} when the tables do not hold together.
   * @throws {MemoryFault} when they cannot be read.
   */
  constructor(
    space: AddressSpace,
    tables: KallsymsTables,
    isStext: (address: bigint) => boolean,
  ) {
    this.#tables = tables;
    this.count = u32(space.read(tables.numSyms, 4), 0);
    if (this.count < 256 || this.count > MAX_SYMBOLS) {
      throw new KallsymsError(`kallsyms_num_syms is ${this.count}`);
    }
    this.#tokens = readTokens(space, tables);
    const span = Number(tables.tokenTable - tables.names);
    if (span <= 0 || span > MAX_NAME_BYTES) {
      throw new KallsymsError(`kallsyms_names spans ${span} bytes`);
    }
    this.#names = space.read(tables.names, span);
    this.#starts = new Uint32Array(this.count);
    this.#tokenCounts = new Uint16Array(this.count);
    this.#lengths = new Uint16Array(this.count);
    this.#checkMarkers(this.#index());

    const values = tables.addresses ?? tables.offsets;
    if (values === undefined) throw new KallsymsError("there is no table of addresses");
    const bytes = space.read(values, this.count * (tables.addresses === undefined ? 4 : 8));
    this.#values = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#base = tables.relativeBase === undefined ? 0n : space.readPointer(tables.relativeBase);
    this.encoding = this.#chooseEncoding(isStext);
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

  /** Records where each name lies; the offset after the last. */
  #index(): number {
    const tokenLengths = this.#tokens.map((token) => token.length);
    const names = this.#names;
    let at = 0;
    for (let i = 0; i < this.count; i++) {
      let length = names[at++];
      // Since Linux 6.1 (73bbb94466fd) a long name has its length in two bytes of 7 bits.
      if (length !== undefined && length > 0x7f) length = (length & 0x7f) | (names[at++] ?? 0) << 7;
      if (length === 0) throw new KallsymsError(`symbol ${i} of ${this.count} has no name`);
      if (length === undefined || at + length > names.length) {
        throw new KallsymsError(`kallsyms_names ends after ${i} of ${this.count} symbols`);
      }
      let characters = -1;
      for (let j = at; j < at + length; j++) characters += tokenLengths[names[j]!]!;
      this.#starts[i] = at;
      this.#tokenCounts[i] = length;
      this.#lengths[i] = Math.max(0, Math.min(characters, 0xffff));
      at += length;
    }
    return at;
  }

  /**
   * Compares the names with `kallsyms_markers` behind them, the offset of every 256th name. One
   * damaged length would give all later names the addresses of others.
   */
  #checkMarkers(end: number): void {
    const view = new DataView(this.#names.buffer, this.#names.byteOffset, this.#names.byteLength);
    const count = Math.ceil(this.count / SYMBOLS_PER_MARKER);
    // Aligned to 8 bytes, since Linux 7.0 to 4.
    const agree = [8, 4].some((align) => {
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
    if (!agree) throw new KallsymsError("kallsyms_names does not agree with kallsyms_markers");
  }

  #chooseEncoding(isStext: (address: bigint) => boolean): AddressEncoding {
    const stext = this.#indexesOf("_stext")[0];
    if (stext === undefined) throw new KallsymsError("there is no symbol _stext");
    const possible: AddressEncoding[] = this.#tables.addresses !== undefined
      ? ["absolute"]
      : this.#tables.relativeBase !== undefined
      ? ["base_relative", "absolute_percpu"]
      : ["place_relative"];
    for (const encoding of possible) {
      if (isStext(this.#address(stext, encoding))) return encoding;
    }
    throw new KallsymsError("no address encoding puts _stext where it is");
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

function u32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}

const LATIN1 = new TextDecoder("latin1");
