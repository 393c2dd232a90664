import assert from "node:assert/strict";
import { AddressSpace, type Mapping } from "../../lib/kernel/address_space.ts";
import { type FaultReason, MemoryFault } from "../../lib/kernel/memory_fault.ts";
import { ReadBudget } from "../../lib/kernel/read_budget.ts";
import { FakePageTables, FakePhysicalMemory, u64 } from "./fake_machine.ts";

const BASE = 0xffff888000000000n;
const BASE_5_LEVELS = 0xff11000000000000n;
const PRESENT = 1n;
const LARGE = 0x80n;
const PROT_NONE = 0x100n;
const MIB = 2n ** 20n;
const GIB = 2n ** 30n;

function machine(levels: 4 | 5 = 4): { memory: FakePhysicalMemory; tables: FakePageTables } {
  const memory = new FakePhysicalMemory();
  let next = 0x10000;
  return { memory, tables: new FakePageTables(memory, levels, () => next += 4096) };
}

function assertFault(read: () => unknown, reason: FaultReason, address?: bigint): void {
  assert.throws(read, (error) => {
    assert.ok(error instanceof MemoryFault, String(error));
    assert.equal(error.reason, reason);
    if (address !== undefined) assert.equal(error.address, address);
    return true;
  });
}

for (const [levels, base] of [[4, BASE], [5, BASE_5_LEVELS]] as const) {
  Deno.test(`AddressSpace.translate() walks ${levels} levels to pages of each size`, () => {
    const { tables } = machine(levels);
    tables.map(base, { physical: 0x5000 });
    tables.map(base + 2n * MIB, { physical: 0x4000_0000, size: 0x200000 });
    tables.map(base + GIB, { physical: 0xc000_0000, size: 0x40000000 });
    const space = tables.space();
    assert.equal(space.translate(base + 0x123n), 0x5123);
    assert.equal(space.translate(base + 2n * MIB + 0x1fffffn), 0x401f_ffff);
    assert.equal(space.translate(base + GIB + 0x3fffffffn), 0xffff_ffff);
    assert.equal(space.pageTable.levels, levels);
  });

  Deno.test(`AddressSpace.translate() knows a canonical address of ${levels} levels`, () => {
    const { tables } = machine(levels);
    const space = tables.space();
    const [lower, upper] = levels === 4
      ? [0x0000800000000000n, 0xffff7fffffffffffn]
      : [0x0100000000000000n, 0xfeffffffffffffffn];
    assertFault(() => space.translate(lower), "non_canonical", lower);
    assertFault(() => space.translate(upper), "non_canonical", upper);
    assertFault(() => space.translate(lower - 1n), "unmapped");
    assertFault(() => space.translate(upper + 1n), "unmapped");
  });
}

Deno.test("AddressSpace.translate() takes the PAT bit of large pages for a flag", () => {
  const { tables } = machine();
  const PAT_LARGE = 1n << 12n;
  tables.setEntry(BASE, 0x4000_0000n | PAT_LARGE | LARGE | PRESENT, 2);
  tables.setEntry(BASE + GIB, 0x4000_0000n | PAT_LARGE | LARGE | PRESENT, 3);
  // In a small page it is bit 7.
  tables.setEntry(BASE + 2n * GIB, 0x7000n | LARGE | PRESENT);
  const space = tables.space();
  assert.equal(space.translate(BASE + 0x1234n), 0x4000_1234);
  assert.equal(space.translate(BASE + GIB + 0x1234n), 0x4000_1234);
  assert.equal(space.translate(BASE + 2n * GIB), 0x7000);
});

Deno.test("AddressSpace.translate() ignores the bits above the address", () => {
  const { tables } = machine();
  tables.setEntry(BASE, 1n << 63n | 0x7ffn << 52n | 0x000f_0000_0000_5000n | PRESENT);
  assert.equal(tables.space().translate(BASE), 0x000f_0000_0000_5000);
});

Deno.test("AddressSpace.translate() reads the inverted frame of a page without access", () => {
  const { tables } = machine();
  const inverted = (physical: bigint) => ~physical & 0x000ffffffffff000n;
  tables.setEntry(BASE, inverted(0x5000n) | PROT_NONE);
  tables.setEntry(BASE + 2n * MIB, inverted(0x4000_0000n) | LARGE | PROT_NONE, 2);
  // A table loses no access: this is something else.
  tables.setEntry(BASE + 4n * MIB, inverted(0x6000n) | PROT_NONE, 2);
  const space = tables.space();
  assert.equal(space.translate(BASE + 8n), 0x5008);
  assert.equal(space.translate(BASE + 2n * MIB + 0x3000n), 0x4000_3000);
  assertFault(() => space.translate(BASE + 4n * MIB), "unmapped");
});

Deno.test("AddressSpace.translate() says why there is no page", () => {
  const { memory, tables } = machine();
  tables.setEntry(BASE, 0x0000_7654_3210_0002n);
  tables.setEntry(BASE + 0x1000n, 0n);
  tables.setEntry(BASE + GIB, BigInt(0x9999_9000) | PRESENT, 2);
  memory.remove(0x9999_9000);
  // A large page where tables have none.
  tables.setEntry(BASE + 512n * GIB, LARGE | PRESENT, 4);
  const space = tables.space();
  assertFault(() => space.translate(BASE), "swapped");
  assertFault(() => space.translate(BASE + 0x1000n), "unmapped");
  assertFault(() => space.translate(BASE + GIB), "not_in_image");
  assertFault(() => space.translate(BASE + 512n * GIB), "unmapped");
  assertFault(() => space.translate(0n), "null");
  assertFault(() => space.translate(0xfffn), "null");
  assertFault(() => space.translate(0x1000n), "unmapped");
});

Deno.test("AddressSpace.translate() takes the encryption bit off addresses", () => {
  const { memory, tables } = machine();
  for (const bit of [47n, 51n, 31n]) {
    const smeMask = 1n << bit;
    tables.setEntry(BASE + GIB * bit, smeMask | 0x5000n | PRESENT);
    const space = new AddressSpace(memory, { ...tables.space().pageTable, smeMask });
    assert.equal(space.translate(BASE + GIB * bit), 0x5000);
    assert.equal(tables.space().translate(BASE + GIB * bit), Number(smeMask) + 0x5000);
  }
});

Deno.test("AddressSpace.translate() ends in tables that point to themselves", () => {
  const { memory, tables } = machine();
  for (let i = 0; i < 512; i++) {
    memory.write(tables.root + i * 8, u64(BigInt(tables.root) | PRESENT));
  }
  const space = tables.space();
  assert.equal(space.translate(BASE + 0x77n), tables.root + 0x77);
  const mapped = [...space.mappings(0xffffffff80000000n, 0xffffffffc0000000n)];
  assert.equal(mapped.length, 2 ** 18);
});

Deno.test("AddressSpace.mappings() of endless tables ends with the budget", () => {
  const { memory, tables } = machine(5);
  for (let i = 0; i < 512; i++) {
    memory.write(tables.root + i * 8, u64(BigInt(tables.root) | PRESENT));
  }
  let count = 0;
  const space = new AddressSpace(memory, tables.space().pageTable, new ReadBudget(100_000));
  for (const _ of space.mappings(0n, 2n ** 64n)) count++;
  assert.ok(count > 10_000 && count <= 100_000, `${count} mappings`);
});

Deno.test("AddressSpace.read() goes across pages that lie apart", () => {
  const { memory, tables } = machine();
  const first = tables.map(BASE, { physical: 0x9000 });
  const second = tables.map(BASE + 0x1000n, { physical: 0x7000 });
  tables.map(BASE + 0x2000n, { physical: 0x3000 });
  memory.write(first + 4092, new Uint8Array([1, 2, 3, 4]));
  memory.write(second, new Uint8Array([5, 6, 7, 8]));
  const space = tables.space();
  assert.deepEqual(space.read(BASE + 4092n, 8), new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]));
  assert.equal(space.readPointer(BASE + 4092n), 0x0807060504030201n);
  assert.equal(space.read(BASE, 0x3000).length, 0x3000);
  assert.equal(space.read(BASE, 0).length, 0);
});

Deno.test("AddressSpace.read() faults at the first byte that cannot be read", () => {
  const { memory, tables } = machine();
  tables.map(BASE);
  memory.remove(tables.map(BASE + 0x1000n));
  const space = tables.space();
  assertFault(() => space.read(BASE, 0x1001), "not_in_image", BASE + 0x1000n);
  assertFault(() => space.read(BASE + 0x1008n, 8), "not_in_image", BASE + 0x1008n);
  assertFault(() => space.read(BASE + 0x1fffn, 2), "not_in_image");
  assertFault(() => space.read(BASE + 0x2000n, 8), "unmapped", BASE + 0x2000n);
  assert.equal(space.isReadable(BASE), true);
  assert.equal(space.isReadable(BASE + 0x1000n), false);
  assert.equal(space.isReadable(BASE + 0x2000n), false);
});

Deno.test("AddressSpace.read() refuses lengths that nothing has", () => {
  const { tables } = machine();
  tables.map(BASE);
  const space = tables.space();
  for (const length of [2 ** 53, Infinity, NaN, -1, 64 * 1024 * 1024 + 1]) {
    assertFault(() => space.read(BASE, length), "unmapped");
  }
});

Deno.test("AddressSpace.read() wraps at the end of the address space", () => {
  const { tables } = machine();
  tables.map(0xfffffffffffff000n);
  assertFault(() => tables.space().read(0xfffffffffffffffcn, 8), "null");
});

Deno.test("AddressSpace.readUpTo() gives what comes before the first byte that cannot be read", () => {
  const { memory, tables } = machine();
  memory.write(tables.map(BASE) + 4094, new Uint8Array([7, 8]));
  const space = tables.space();
  assert.deepEqual(space.readUpTo(BASE + 4094n, 100), new Uint8Array([7, 8]));
  assert.equal(space.readUpTo(BASE, 100).length, 100);
  assertFault(() => space.readUpTo(BASE + 0x1000n, 100), "unmapped");
});

Deno.test("AddressSpace.withRoot() reads other tables of the same machine", () => {
  const { memory, tables } = machine();
  tables.map(BASE, { physical: 0x5000 });
  let next = 0x90000;
  const other = new FakePageTables(memory, 4, () => next += 4096);
  other.map(BASE, { physical: 0x6000 });
  const space = tables.space();
  assert.equal(space.translate(BASE), 0x5000);
  assert.equal(space.withRoot(other.root).translate(BASE), 0x6000);
});

Deno.test("AddressSpace.mappings() joins what is contiguous in both memories", () => {
  const { tables } = machine();
  const image = 0xffffffff81000000n;
  tables.map(image, { physical: 0x200_0000, size: 0x200000 });
  tables.map(image + 2n * MIB, { physical: 0x220_0000, size: 0x200000 });
  // Contiguous virtually only, then with a gap.
  tables.map(image + 4n * MIB, { physical: 0x600_0000 });
  tables.map(image + 4n * MIB + 0x1000n, { physical: 0x600_1000 });
  tables.map(image + 4n * MIB + 0x3000n, { physical: 0x600_3000 });
  // Outside of what is asked for.
  tables.map(0xffffffffc0000000n, { physical: 0x700_0000 });
  tables.map(BASE, { physical: 0x800_0000 });
  const expected: Mapping[] = [
    { start: image, length: 0x400000, physical: 0x200_0000 },
    { start: image + 4n * MIB, length: 0x2000, physical: 0x600_0000 },
    { start: image + 4n * MIB + 0x3000n, length: 0x1000, physical: 0x600_3000 },
  ];
  const space = tables.space();
  assert.deepEqual([...space.mappings(0xffffffff80000000n, 0xffffffffc0000000n)], expected);
});

Deno.test("AddressSpace.mappings() leaves tables out that are not in the image", () => {
  const { memory, tables } = machine(5);
  const image = 0xffffffff81000000n;
  tables.map(image, { physical: 0x5000 });
  tables.setEntry(image + 2n * MIB, 0x7777_7000n | PRESENT, 2);
  assert.deepEqual([...tables.space().mappings(0xffffffff80000000n, 0xffffffffc0000000n)], [
    { start: image, length: 4096, physical: 0x5000 },
  ]);
  memory.remove(tables.root);
  assert.deepEqual([...tables.space().mappings(0n, 2n ** 64n)], []);
});
