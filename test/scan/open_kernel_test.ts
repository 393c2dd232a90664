import assert from "node:assert/strict";
import { Diagnostics } from "../../lib/scan/diagnostics.ts";
import { ramRanges } from "../../lib/scan/open_kernel.ts";
import { FakeMachine, type FakeValue, u64 } from "../kernel/fake_machine.ts";

/** What a memory map comes to, entries being address, size and type, and what is said of it. */
function ranges(...entries: readonly (readonly [addr: bigint, size: bigint, type: number])[]) {
  const machine = new FakeMachine({
    structs: {
      e820_entry: { addr: "u64", size: "u64", type: "u32", pad: "u32" },
      e820_table: { nr_entries: "u32", entries: "e820_entry[4]" },
    },
  });
  const table = machine.put("e820_table", { nr_entries: entries.length });
  entries.forEach(([addr, size, type], i) => {
    const entry = machine.program.object("e820_entry", table.addressOf("entries") + BigInt(i * 24));
    const values: Record<string, FakeValue> = { addr, size, type };
    for (const [member, value] of Object.entries(values)) machine.set(entry, member, value);
  });
  machine.define("e820_table", machine.putBytes(u64(table.address)));
  const diagnostics = new Diagnostics();
  const ram = ramRanges(machine, diagnostics);
  return { ram, codes: diagnostics.list().map(({ code }) => code) };
}

Deno.test("ramRanges() gives RAM in order, and what entries share once", () => {
  const { ram, codes } = ranges(
    [0x10000n, 0x8000n, 1],
    [0x1000n, 0x4000n, 1],
    [0x4000n, 0x4000n, 2],
    [0x14000n, 0x8000n, 1],
  );
  assert.deepEqual(ram, [
    { start: 0x1000, end: 0x5000 },
    { start: 0x10000, end: 0x18000 },
    { start: 0x18000, end: 0x1c000 },
  ]);
  assert.deepEqual(codes, []);
});

Deno.test("ramRanges() does not believe in memory that no processor can address", () => {
  for (const size of [2n ** 52n, 2n ** 64n - 1n]) {
    const { ram, codes } = ranges([0x1000n, size, 1], [0x10000n, 0x8000n, 1]);
    assert.equal(ram, undefined);
    assert.deepEqual(codes, ["memory_map_unreadable"]);
  }
});
