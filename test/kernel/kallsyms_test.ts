import assert from "node:assert/strict";
import { AddressSpace } from "../../lib/kernel/address_space.ts";
import { findKallsyms } from "../../lib/kernel/find_kallsyms.ts";
import {
  type AddressEncoding,
  Kallsyms,
  KallsymsError,
  type KallsymsTables,
} from "../../lib/kernel/kallsyms.ts";
import { MemoryFault } from "../../lib/kernel/memory_fault.ts";
import { ReadBudget } from "../../lib/kernel/read_budget.ts";
import { type KallsymsLayout, manySymbols, writeKallsyms } from "./fake_kallsyms.ts";
import { FakePageTables, FakePhysicalMemory, u64 } from "./fake_machine.ts";

const TEXT = 0xffffffff81000000n;
const TABLES_AT = 0xffffffff82000000n;
const PHYSICAL = 0x400_0000;

interface Case {
  readonly layout: KallsymsLayout;
  readonly encoding: AddressEncoding;
}

/** Every pair of order and encoding that a release had. */
const CASES: readonly Case[] = [
  { layout: "6.1", encoding: "absolute_percpu" },
  { layout: "6.1", encoding: "base_relative" },
  { layout: "6.1", encoding: "absolute" },
  { layout: "6.2", encoding: "absolute_percpu" },
  { layout: "6.2", encoding: "absolute" },
  { layout: "6.4", encoding: "absolute_percpu" },
  { layout: "6.4", encoding: "absolute" },
  { layout: "6.4", encoding: "base_relative" },
  { layout: "7.0", encoding: "place_relative" },
];

function build(
  { layout, encoding }: Case,
  symbols: ReadonlyMap<string, bigint> = manySymbols(TEXT),
): { memory: FakePhysicalMemory; space: AddressSpace; tables: KallsymsTables } {
  const memory = new FakePhysicalMemory();
  let next = 0x10000;
  const pages = new FakePageTables(memory, 4, () => next += 4096);
  const tables = writeKallsyms(memory, pages, {
    symbols,
    layout,
    encoding,
    at: TABLES_AT,
    physical: PHYSICAL,
    relativeBase: TEXT,
  });
  return { memory, space: pages.space(), tables };
}

const isAt = (symbol: string, address: bigint) => symbol === "_stext" && address === TEXT;

/** What a search finds that can be decoded. */
function search(space: AddressSpace): Kallsyms[] {
  const found: Kallsyms[] = [];
  for (const tables of findKallsyms(space)) {
    try {
      found.push(new Kallsyms(space, tables, isAt));
    } catch (error) {
      assert.ok(error instanceof KallsymsError || error instanceof MemoryFault, String(error));
    }
  }
  return found;
}

for (const entry of CASES) {
  const name = `${entry.encoding} addresses in the order of ${entry.layout}`;

  Deno.test(`Kallsyms decodes ${name}`, () => {
    const { space, tables } = build(entry);
    const symbols = new Kallsyms(space, tables, isAt);
    assert.equal(symbols.encoding, entry.encoding);
    assert.equal(symbols.count, 4500);
    assert.equal(symbols.lookup("some_function_4499"), TEXT + 4499n * 16n);
    assert.equal(symbols.lookup("some_function"), undefined);
  });

  Deno.test(`findKallsyms() finds ${name}`, () => {
    const { space } = build(entry);
    const [first, ...more] = search(space);
    assert.deepEqual(more, []);
    assert.equal(first?.encoding, entry.encoding);
    assert.equal(first?.lookup("some_function_300"), TEXT + 300n * 16n);
  });

  Deno.test(`findKallsyms() finds ${name} where the image holds little else`, () => {
    // A slice has the tables that were read: no markers' neighbours, no sequence numbers.
    const { memory, space, tables } = build(entry);
    const kept = new Set<number>();
    const keep = (at: bigint | undefined, length: number) => {
      if (at === undefined) return;
      for (let byte = 0; byte < length + 4096; byte += 4096) {
        const offset = Number(at - TABLES_AT) + Math.min(byte, length - 1);
        kept.add(PHYSICAL + Math.floor(offset / 4096) * 4096);
      }
    };
    keep(tables.numSyms, 4);
    keep(tables.names, Number(tables.tokenTable - tables.names));
    keep(tables.tokenTable, Number(tables.tokenIndex - tables.tokenTable) + 512);
    keep(tables.offsets, 4500 * 4);
    keep(tables.addresses, 4500 * 8);
    keep(tables.relativeBase, 8);
    for (const { start } of memory.ranges) {
      if (start >= PHYSICAL && !kept.has(start)) memory.remove(start);
    }
    assert.equal(search(space)[0]?.lookup("some_function_300"), TEXT + 300n * 16n);
  });
}

Deno.test("Kallsyms knows small absolute addresses from offsets", () => {
  const symbols = manySymbols(TEXT).set("cpu_number", 0x1f30n);
  const { space, tables } = build({ layout: "6.1", encoding: "absolute_percpu" }, symbols);
  assert.equal(new Kallsyms(space, tables, isAt).lookup("cpu_number"), 0x1f30n);
});

Deno.test("Kallsyms.lookupAll() gives all symbols of a name, in order", () => {
  // Maps have a key once, so two names are made equal in memory.
  const { memory, space, tables } = build({ layout: "6.1", encoding: "absolute" });
  const names = PHYSICAL + Number(tables.names - TABLES_AT);
  const bytes = memory.read(names, 200)!;
  const text = new TextDecoder().decode(bytes);
  memory.write(names + text.indexOf("function_3"), new TextEncoder().encode("function_2"));
  const symbols = new Kallsyms(space, tables, isAt);
  assert.deepEqual(symbols.lookupAll("some_function_2"), [TEXT + 32n, TEXT + 48n]);
  assert.equal(symbols.lookup("some_function_2"), TEXT + 32n);
  assert.deepEqual(symbols.lookupAll("some_function_3"), []);
});

Deno.test("Kallsyms decodes names whose length takes two bytes", () => {
  const long = "a".repeat(127);
  const longer = `b${"c".repeat(510)}`;
  const symbols = manySymbols(TEXT).set(long, TEXT + 1n).set(longer, TEXT + 2n).set("z", TEXT + 3n);
  for (const layout of ["6.1", "6.4"] as const) {
    const { space, tables } = build({ layout, encoding: "base_relative" }, symbols);
    const decoded = new Kallsyms(space, tables, isAt);
    assert.equal(decoded.lookup(long), TEXT + 1n);
    assert.equal(decoded.lookup(longer), TEXT + 2n);
    assert.equal(decoded.lookup("z"), TEXT + 3n);
    assert.equal(search(space).length, 1);
  }
});

Deno.test("Kallsyms refuses counts that no kernel has", () => {
  for (const count of [0, 255, 4_000_001, 0xffffffff]) {
    const { memory, space, tables } = build({ layout: "6.4", encoding: "base_relative" });
    memory.write(PHYSICAL, u64(BigInt(count)).subarray(0, 4));
    assert.throws(() => new Kallsyms(space, tables, isAt), /kallsyms_num_syms is/);
  }
  const { memory, space, tables } = build({ layout: "6.4", encoding: "base_relative" });
  memory.write(PHYSICAL, u64(4_000_000n).subarray(0, 4));
  assert.throws(() => new Kallsyms(space, tables, isAt), KallsymsError);
});

Deno.test("Kallsyms loses the last names where the count is another", () => {
  for (const [count, last, from] of [[4243, 147, 4096], [4501, 149, 4352]] as const) {
    const { memory, space, tables } = build({ layout: "6.4", encoding: "base_relative" });
    memory.write(PHYSICAL, u64(BigInt(count)).subarray(0, 4));
    const symbols = new Kallsyms(space, tables, isAt);
    assert.equal(symbols.damage, `${last} of ${count} names in kallsyms are lost`);
    assert.equal(symbols.lookup(`some_function_${from - 1}`), TEXT + BigInt(from - 1) * 16n);
    assert.equal(symbols.lookup(`some_function_${from}`), undefined);
  }
});

/** Tables of 4500 symbols, and where in physical memory the name of one begins. */
function damageable() {
  const built = build({ layout: "6.4", encoding: "base_relative" });
  const names = PHYSICAL + Number(built.tables.names - TABLES_AT);
  const nameAt = (index: number) => {
    let at = names;
    for (let i = 0; i < index; i++) at += 1 + built.memory.read(at, 1)![0]!;
    return at;
  };
  return { ...built, names, nameAt };
}

/** Every 16th function; 16 to a block. */
const SAMPLE = Array.from({ length: 280 }, (_, i) => 8 + i * 16);

/** Numbers of the sample that are known, all of which have to be at their addresses. */
function knownFunctions(symbols: Kallsyms): number[] {
  const known: number[] = [];
  for (const i of SAMPLE) {
    const address = symbols.lookup(`some_function_${i}`);
    if (address === undefined) continue;
    assert.equal(address, TEXT + BigInt(i) * 16n);
    known.push(i);
  }
  return known;
}

Deno.test("Kallsyms loses 256 names to one damaged length, and no others", () => {
  for (const change of [1, -1, 0x40]) {
    const { memory, space, tables, nameAt } = damageable();
    const at = nameAt(2000);
    memory.write(at, new Uint8Array([memory.read(at, 1)![0]! + change]));
    const symbols = new Kallsyms(space, tables, isAt);
    assert.equal(symbols.damage, "256 of 4500 names in kallsyms are lost");
    const known = knownFunctions(symbols);
    assert.equal(known.length, SAMPLE.length - 16);
    assert.equal(known.some((i) => i >= 1792 && i < 2048), false);
  }
});

Deno.test("Kallsyms loses the names in pages of zeros, and no others", () => {
  const { memory, space, tables, nameAt } = damageable();
  // Names 1000 and 3000 lie in these pages, the first and the last do not.
  for (const at of [nameAt(1000), nameAt(3000)]) memory.write(at - at % 4096, new Uint8Array(4096));
  const symbols = new Kallsyms(space, tables, isAt);
  assert.match(symbols.damage ?? "", /^(768|1024) of 4500 names in kallsyms are lost$/);
  const known = new Set(knownFunctions(symbols));
  assert.equal([8, 504, 2008, 2200, 4008, 4472].every((i) => known.has(i)), true);
  assert.equal(known.has(1000) || known.has(3000), false);
});

Deno.test("Kallsyms loses nothing to a damaged marker", () => {
  const { memory, space, tables, nameAt } = damageable();
  const marker = Math.ceil((nameAt(4500) - PHYSICAL) / 8) * 8 + PHYSICAL + 5 * 4;
  memory.write(marker, new Uint8Array([memory.read(marker, 1)![0]! ^ 0x55]));
  const symbols = new Kallsyms(space, tables, isAt);
  assert.equal(symbols.damage, undefined);
  assert.equal(knownFunctions(symbols).length, SAMPLE.length);
});

Deno.test("Kallsyms goes by linux_banner where the name _stext is lost", () => {
  const symbols = manySymbols(TEXT).set("linux_banner", TEXT + 0x100000n);
  for (const encoding of ["base_relative", "absolute_percpu"] as const) {
    const { memory, space, tables } = build({ layout: "6.4", encoding }, symbols);
    const names = PHYSICAL + Number(tables.names - TABLES_AT);
    memory.write(names, new Uint8Array([3]));
    const isBanner = (symbol: string, address: bigint) =>
      symbol === "linux_banner" && address === TEXT + 0x100000n;
    const decoded = new Kallsyms(space, tables, isBanner);
    assert.equal(decoded.encoding, encoding);
    assert.equal(decoded.lookup("_stext"), undefined);
    assert.equal(decoded.lookup("some_function_300"), TEXT + 300n * 16n);
  }
});

Deno.test("Kallsyms refuses tables of which more than half is damaged", () => {
  const { memory, space, tables, names, nameAt } = damageable();
  memory.write(names, new Uint8Array(nameAt(2600) - names));
  assert.throws(() => new Kallsyms(space, tables, isAt), KallsymsError);
});

Deno.test("Kallsyms refuses tables in which _stext is elsewhere, or nowhere", () => {
  const { space, tables } = build({ layout: "6.1", encoding: "base_relative" });
  assert.throws(() => new Kallsyms(space, tables, () => false), /no address encoding/);
  const symbols = new Map([...manySymbols(TEXT)].filter(([name]) => name !== "_stext"));
  const other = build({ layout: "6.1", encoding: "base_relative" }, symbols);
  assert.throws(() => new Kallsyms(other.space, other.tables, isAt), /no symbol _stext/);
});

Deno.test("Kallsyms refuses tables that are not where they are said to be", () => {
  const { space, tables } = build({ layout: "6.1", encoding: "base_relative" });
  const wrong: Partial<KallsymsTables>[] = [
    { tokenIndex: tables.tokenTable },
    { tokenTable: tables.names },
    { names: tables.tokenIndex },
    { names: 0xffffffff80000000n },
    { offsets: undefined },
    { tokenIndex: tables.tokenIndex + 0x100000n },
    { numSyms: 0n },
    { relativeBase: 0x1000n },
  ];
  for (const change of wrong) {
    assert.throws(
      () => new Kallsyms(space, { ...tables, ...change }, isAt),
      (error) => error instanceof KallsymsError || error instanceof MemoryFault,
      Object.keys(change).join(),
    );
  }
});

Deno.test("findKallsyms() finds nothing in memory without tables", () => {
  const memory = new FakePhysicalMemory();
  let next = 0x10000;
  const pages = new FakePageTables(memory, 4, () => next += 4096);
  assert.deepEqual([...findKallsyms(pages.space())], []);
  const digits = new Uint8Array([..."0123456789"].flatMap((c) => [c.charCodeAt(0), 0]));
  const physical = pages.map(TEXT);
  // Digits alone, over and over, up to the end of what is mapped.
  for (let at = 0; at + 20 <= 4096; at += 20) memory.write(physical + at, digits);
  assert.deepEqual([...findKallsyms(pages.space())], []);
});

/** A budget that knows how often it was asked once it was spent. */
class CountedBudget extends ReadBudget {
  refused = 0;

  override spend(units: number): boolean {
    const granted = super.spend(units);
    if (!granted) this.refused++;
    return granted;
  }
}

/** Searches memory for which the units are not enough; `refused` is how often it may go on trying. */
function assertEndsWithBudget(
  memory: FakePhysicalMemory,
  pages: FakePageTables,
  { units, refused }: { units: number; refused: number },
): void {
  const budget = new CountedBudget(units);
  for (const _ of findKallsyms(new AddressSpace(memory, pages.space().pageTable, budget)));
  assert.ok(budget.isSpent);
  assert.ok(budget.refused <= refused, `${budget.refused} reads were tried after that`);
}

Deno.test("findKallsyms() ends with the budget where everything looks like a table", () => {
  const { memory, space } = build({ layout: "6.4", encoding: "base_relative" });
  // The same pages again and again, all over the kernel's half.
  let next = 0x900_0000;
  const pages = new FakePageTables(memory, 4, () => next += 4096);
  const first = space.translate(TABLES_AT);
  for (let at = 0n; at < 3000n; at++) {
    pages.map(TEXT + at * 4096n, { physical: first + Number(at % 40n) * 4096 });
  }
  assertEndsWithBudget(memory, pages, { units: 1_000_000, refused: 20 });
});

Deno.test("findKallsyms() ends once its budget is spent, however much looks like tables", () => {
  const memory = new FakePhysicalMemory();
  let next = 0x10000;
  const pages = new FakePageTables(memory, 4, () => next += 4096);
  const run = Array.from({ length: 17 }, (_, i) => i * 1024);
  const markers = Uint32Array.from({ length: 8192 }, (_, i) => run[i % run.length]!);
  const tokens = new Uint8Array(1024);
  for (let token = 0; token < 256; token++) {
    tokens[token * 2] = token >= 0x30 && token <= 0x39 ? token : 0x78;
    new DataView(tokens.buffer).setUint16(512 + token * 2, token * 2, true);
  }
  const bytes = new Uint8Array([...new Uint8Array(markers.buffer), ...tokens]);
  for (let at = 0; at < bytes.length; at += 4096) {
    pages.map(TABLES_AT + BigInt(at), { physical: PHYSICAL + at });
  }
  memory.write(PHYSICAL, bytes);
  assertEndsWithBudget(memory, pages, { units: 100_000, refused: 10_000 });
});
