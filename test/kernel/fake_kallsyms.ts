import type { AddressEncoding, KallsymsTables } from "../../lib/kernel/kallsyms.ts";
import { type FakePageTables, type FakePhysicalMemory, u64 } from "./fake_machine.ts";

/** Orders in which `scripts/kallsyms.c` has written its tables, by a release that has them so. */
export type KallsymsLayout = "6.1" | "6.2" | "6.4" | "7.0";

type Part =
  | "numSyms"
  | "names"
  | "markers"
  | "seqs"
  | "tokenTable"
  | "tokenIndex"
  | "values"
  | "relativeBase";

const ORDERS: { readonly [layout in KallsymsLayout]: readonly Part[] } = {
  "6.1": ["values", "relativeBase", "numSyms", "names", "markers", "tokenTable", "tokenIndex"],
  "6.2": [
    "values",
    "relativeBase",
    "numSyms",
    "names",
    "markers",
    "seqs",
    "tokenTable",
    "tokenIndex",
  ],
  "6.4": [
    "numSyms",
    "names",
    "markers",
    "tokenTable",
    "tokenIndex",
    "values",
    "relativeBase",
    "seqs",
  ],
  "7.0": ["numSyms", "names", "markers", "tokenTable", "tokenIndex", "values", "seqs"],
};

/** What to write, and where. */
export interface FakeKallsyms {
  readonly symbols: ReadonlyMap<string, bigint>;
  readonly layout: KallsymsLayout;
  readonly encoding: AddressEncoding;
  /** Virtual address of the first table, which is mapped from there on. */
  readonly at: bigint;
  /** Physical address of the first table. */
  readonly physical: number;
  readonly relativeBase?: bigint;
}

/** Writes the tables of a kernel's symbols into memory, and maps them. */
export function writeKallsyms(
  memory: FakePhysicalMemory,
  tables: FakePageTables,
  fake: FakeKallsyms,
): KallsymsTables {
  const { layout, encoding, at, physical, symbols } = fake;
  const align = layout === "7.0" ? 4 : 8;
  const { names, markers } = namesOf(symbols);
  const { tokens, index } = tokensOf();
  const parts: { [part in Part]: Uint8Array } = {
    numSyms: u64(BigInt(symbols.size)).subarray(0, 4),
    names,
    markers: new Uint8Array(new Uint32Array(markers).buffer),
    seqs: new Uint8Array(symbols.size * 3).fill(0x5a),
    tokenTable: tokens,
    tokenIndex: new Uint8Array(index.buffer),
    values: new Uint8Array(symbols.size * (encoding === "absolute" ? 8 : 4)),
    relativeBase: u64(fake.relativeBase ?? 0n),
  };
  const order = ORDERS[layout].filter((part) => part !== "relativeBase" || encoding !== "absolute");
  const places = {} as { [part in Part]: number };
  let end = 0;
  for (const part of order) {
    places[part] = Math.ceil(end / align) * align;
    end = places[part] + parts[part].length;
  }
  const address = (part: Part) => at + BigInt(places[part]);
  putValues(parts.values, { ...fake, valuesAt: address("values") });
  for (const part of order) memory.write(physical + places[part], parts[part]);
  for (let page = 0; page < end; page += 4096) {
    tables.map(at + BigInt(page), { physical: physical + page });
  }
  return {
    numSyms: address("numSyms"),
    names: address("names"),
    tokenTable: address("tokenTable"),
    tokenIndex: address("tokenIndex"),
    offsets: encoding === "absolute" ? undefined : address("values"),
    addresses: encoding === "absolute" ? address("values") : undefined,
    relativeBase: encoding === "absolute" || encoding === "place_relative"
      ? undefined
      : address("relativeBase"),
  };
}

/** Names as tokens of one byte each, the length in two bytes where one does not hold it. */
function namesOf(symbols: ReadonlyMap<string, bigint>): { names: Uint8Array; markers: number[] } {
  const names: number[] = [];
  const markers: number[] = [];
  [...symbols.keys()].forEach((name, i) => {
    if (i % 256 === 0) markers.push(names.length);
    const text = new TextEncoder().encode(`T${name}`);
    if (text.length > 0x7f) names.push(text.length & 0x7f | 0x80, text.length >> 7);
    else names.push(text.length);
    names.push(...text);
  });
  return { names: new Uint8Array(names), markers };
}

/** A table in which each byte stands for itself. */
function tokensOf(): { tokens: Uint8Array; index: Uint16Array } {
  const tokens: number[] = [];
  const index = new Uint16Array(256);
  for (let token = 0; token < 256; token++) {
    index[token] = tokens.length;
    // A token of the byte 0 would end where it starts.
    if (token > 0) tokens.push(token);
    tokens.push(0);
  }
  return { tokens: new Uint8Array(tokens), index };
}

function putValues(
  bytes: Uint8Array,
  { symbols, encoding, relativeBase = 0n, valuesAt }: FakeKallsyms & { valuesAt: bigint },
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  [...symbols.values()].forEach((address, i) => {
    if (encoding === "absolute") return view.setBigUint64(i * 8, address, true);
    let value: bigint;
    if (encoding === "place_relative") value = address - (valuesAt + BigInt(i * 4));
    else if (encoding === "base_relative") value = address - relativeBase;
    // Small addresses are absolute, offsets in the per-CPU area.
    else value = address < 2n ** 31n ? address : relativeBase - 1n - address;
    view.setUint32(i * 4, Number(BigInt.asUintN(32, value)), true);
  });
}

/** Symbols of a kernel that starts at `text`, as many as a search wants to see. */
export function manySymbols(text: bigint, count = 4500): Map<string, bigint> {
  const symbols = new Map<string, bigint>([["fixed_percpu_data", text], ["_stext", text]]);
  for (let i = symbols.size; i < count; i++) {
    symbols.set(`some_function_${i}`, text + BigInt(i) * 16n);
  }
  return symbols;
}
