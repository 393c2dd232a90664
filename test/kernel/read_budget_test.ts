import assert from "node:assert/strict";
import { AddressSpace } from "../../lib/kernel/address_space.ts";
import { MemoryFault } from "../../lib/kernel/memory_fault.ts";
import { ReadBudget } from "../../lib/kernel/read_budget.ts";
import { FakePageTables, FakePhysicalMemory } from "./fake_machine.ts";

Deno.test("ReadBudget.spend() refuses once nothing is left, and stays so", () => {
  const budget = new ReadBudget(10);
  assert.equal(budget.spend(10), true);
  assert.equal(budget.isSpent, false);
  assert.equal(budget.spend(1), false);
  assert.equal(budget.isSpent, true);
  assert.equal(budget.spend(0), false);
});

Deno.test("ReadBudget.part() is spent by itself, and with the whole", () => {
  const whole = new ReadBudget(10);
  const first = whole.part(4);
  assert.equal(first.spend(5), false);
  assert.deepEqual([first.isSpent, whole.isSpent], [true, false]);
  const second = whole.part(100);
  assert.equal(second.spend(5), true);
  assert.equal(second.spend(1), false);
  assert.equal(whole.isSpent, true);
});

Deno.test("ReadBudget.forBytes() grows with the memory", () => {
  const small = ReadBudget.forBytes(0);
  const large = ReadBudget.forBytes(2 ** 40);
  assert.ok(small.spend(1_000_000));
  assert.ok(large.spend(1_000_000_000));
  assert.ok(!small.spend(1_000_000_000));
});

Deno.test("AddressSpace ends all reads when its budget is spent, in other tables too", () => {
  const memory = new FakePhysicalMemory();
  let next = 0x10000;
  const tables = new FakePageTables(memory, 4, () => next += 4096);
  for (let page = 0n; page < 64n; page++) tables.map(0xffff888000000000n + page * 4096n);
  const budget = new ReadBudget(100);
  const space = new AddressSpace(memory, tables.space().pageTable, budget);
  let reads = 0;
  const overBudget = (error: unknown) =>
    error instanceof MemoryFault && error.reason === "over_budget";
  assert.throws(() => {
    for (; reads < 1000; reads++) {
      space.read(0xffff888000000000n + BigInt(reads % 64) * 4096n, 8);
    }
  }, overBudget);
  assert.ok(reads > 10 && reads < 100, `${reads} reads`);
  assert.throws(() => space.withRoot(tables.root).read(0xffff888000000000n, 8), overBudget);
  assert.equal(space.isReadable(0xffff888000040000n), false);
  assert.deepEqual([...space.mappings(0xffff888000000000n, 0xffff888000040000n)], []);
});

Deno.test("AddressSpace counts a fault as several reads", () => {
  const memory = new FakePhysicalMemory();
  let next = 0x10000;
  const { root, levels } = new FakePageTables(memory, 4, () => next += 4096);
  const budget = new ReadBudget(900);
  const space = new AddressSpace(memory, { root, levels, smeMask: 0n }, budget);
  let faults = 0;
  for (; !budget.isSpent; faults++) {
    assert.ok(faults < 1000, "faults are for nothing");
    assert.throws(() => space.read(0xffff888000000000n, 8), MemoryFault);
  }
  assert.ok(faults <= 101, `${faults} faults`);
});
