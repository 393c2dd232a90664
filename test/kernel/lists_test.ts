import assert from "node:assert/strict";
import {
  BrokenList,
  hlistForEachEntry,
  listForEachEntry,
  listForEachEntryReverse,
} from "../../lib/kernel/lists.ts";
import type { KernelObject } from "../../lib/kernel/program.ts";
import { FakeMachine, u64 } from "./fake_machine.ts";

const STRUCTS = {
  list_head: { next: "*list_head", prev: "*list_head" },
  item: { before: "u64[2]", list: "list_head", id: "u32" },
};
const ENTRY = { type: "item", member: "list" };

/** A head, and items that are linked in order. */
function linked(count: number): { machine: FakeMachine; head: bigint; items: KernelObject[] } {
  const machine = new FakeMachine({ structs: STRUCTS });
  const head = machine.put("list_head").address;
  const items = Array.from({ length: count }, (_, id) => machine.put("item", { id }));
  machine.link([head, ...items.map((item) => item.addressOf("list"))]);
  return { machine, head, items };
}

/** What a walk yields before it ends, and how it ends. */
function walk(list: Iterable<KernelObject>): { ids: number[]; error: string } {
  const ids: number[] = [];
  try {
    for (const item of list) ids.push(item.number("id"));
  } catch (error) {
    assert.ok(error instanceof BrokenList, String(error));
    return { ids, error: error.message };
  }
  return { ids, error: "" };
}

Deno.test("listForEachEntry() yields entries in order", () => {
  const { machine, head } = linked(3);
  assert.deepEqual(walk(listForEachEntry(machine.program, head, ENTRY)), {
    ids: [0, 1, 2],
    error: "",
  });
  const empty = linked(0);
  assert.deepEqual(walk(listForEachEntry(empty.machine.program, empty.head, ENTRY)).ids, []);
});

Deno.test("listForEachEntryReverse() yields entries from the end", () => {
  const { machine, head } = linked(3);
  assert.deepEqual(walk(listForEachEntryReverse(machine.program, head, ENTRY)), {
    ids: [2, 1, 0],
    error: "",
  });
});

Deno.test("listForEachEntry() ends in a loop that does not pass the head", () => {
  const { machine, head, items } = linked(4);
  machine.set(items[2]!, "list.next", items[1]!.addressOf("list"));
  const { ids, error } = walk(listForEachEntry(machine.program, head, ENTRY));
  assert.deepEqual(ids, [0, 1, 2]);
  assert.match(error, /loops after 3 entries/);
  // What lies behind the break is reached from the other end.
  assert.deepEqual(walk(listForEachEntryReverse(machine.program, head, ENTRY)).ids, [3, 2, 1, 0]);
});

Deno.test("listForEachEntry() ends at an entry that points to itself", () => {
  const { machine, head, items } = linked(2);
  machine.set(items[0]!, "list.next", items[0]!.addressOf("list"));
  assert.deepEqual(walk(listForEachEntry(machine.program, head, ENTRY)).ids, [0]);
});

Deno.test("listForEachEntry() ends at pointers that lead nowhere", () => {
  for (const pointer of [0n, 0x10n, 0x1234n, 2n ** 63n, 2n ** 64n - 1n, 0xffffdead00000000n]) {
    const { machine, head, items } = linked(3);
    machine.set(items[1]!, "list.next", pointer);
    let yielded = 0;
    assert.throws(() => {
      for (const _ of listForEachEntry(machine.program, head, ENTRY)) yielded++;
    }, BrokenList);
    // An entry is made of a pointer before what it points to is read.
    assert.ok(yielded === 2 || yielded === 3, `${yielded} entries`);
  }
});

Deno.test("listForEachEntry() ends at its limit", () => {
  const { machine, head } = linked(5);
  const { ids, error } = walk(listForEachEntry(machine.program, head, { ...ENTRY, limit: 4 }));
  assert.deepEqual(ids, [0, 1, 2, 3]);
  assert.match(error, /more than 4 entries/);
  const exact = walk(listForEachEntry(machine.program, head, { ...ENTRY, limit: 5 }));
  assert.deepEqual(exact, { ids: [0, 1, 2, 3, 4], error: "" });
});

Deno.test("listForEachEntry() breaks where the head cannot be read", () => {
  const { machine } = linked(0);
  const { error } = walk(listForEachEntry(machine.program, 0xffff000000000000n, ENTRY));
  assert.match(error, /0xffff000000000000/);
});

Deno.test("hlistForEachEntry() follows first pointers to null, and ends in loops", () => {
  const { machine, items } = linked(3);
  const head = machine.putBytes(u64(items[0]!.addressOf("list")));
  machine.set(items[2]!, "list.next", 0n);
  assert.deepEqual(walk(hlistForEachEntry(machine.program, head, ENTRY)), {
    ids: [0, 1, 2],
    error: "",
  });
  machine.set(items[2]!, "list.next", items[0]!.addressOf("list"));
  const { ids, error } = walk(hlistForEachEntry(machine.program, head, ENTRY));
  assert.deepEqual(ids, [0, 1, 2]);
  assert.match(error, /loops/);
  const empty = machine.putBytes(u64(0n));
  assert.deepEqual(walk(hlistForEachEntry(machine.program, empty, ENTRY)).ids, []);
});
