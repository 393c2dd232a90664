import assert from "node:assert/strict";
import { BrokenList } from "../../lib/kernel/lists.ts";
import type { KernelObject } from "../../lib/kernel/program.ts";
import { xaForEach, xaLoad } from "../../lib/kernel/xarray.ts";
import { FakeMachine, type FakeValue, u64 } from "./fake_machine.ts";

const STRUCTS = {
  xa_node: { shift: "u8", offset: "u8", count: "u8", slots: "*[64]" },
  xarray: { xa_lock: "u32", xa_flags: "u32", xa_head: "*" },
};
/** Entries of four-byte alignment, as kernel pointers have it. */
const A = 0xffff888000aaaa00n;
const B = 0xffff888000bbbb00n;
const C = 0xffff888000cccc00n;

class Tree {
  readonly machine = new FakeMachine({ structs: STRUCTS });
  readonly xarray: KernelObject = this.machine.put("xarray");

  /** A node of a shift with some slots; the entry that points to it. */
  node(shift: number, slots: { readonly [index: number]: bigint }): bigint {
    const node = this.machine.put("xa_node", { shift });
    for (const [index, value] of Object.entries(slots)) {
      this.machine.write(node.addressOf("slots") + BigInt(index) * 8n, u64(value));
    }
    return node.address + 2n;
  }

  head(entry: FakeValue): this {
    this.machine.set(this.xarray, "xa_head", entry);
    return this;
  }

  entries(): [bigint, bigint][] {
    return [...xaForEach(this.xarray)].map(({ index, value }) => [index, value]);
  }
}

/** The internal entry that stands for the entry in another slot (`xa_mk_sibling`). */
function sibling(slot: number): bigint {
  return BigInt(slot) << 2n | 2n;
}
/** XA_RETRY_ENTRY and XA_ZERO_ENTRY. */
const RETRY = 256n << 2n | 2n;
const ZERO = 257n << 2n | 2n;

Deno.test("xaForEach() yields a single entry at index 0", () => {
  const tree = new Tree();
  assert.deepEqual(tree.entries(), []);
  assert.deepEqual(tree.head(A).entries(), [[0n, A]]);
  assert.equal(xaLoad(tree.xarray, 0n), A);
  assert.equal(xaLoad(tree.xarray, 1n), undefined);
});

Deno.test("xaForEach() yields entries of nodes with their indexes", () => {
  const tree = new Tree();
  const low = tree.node(0, { 0: A, 63: B });
  const high = tree.node(0, { 5: C });
  tree.head(tree.node(6, { 0: low, 2: high }));
  assert.deepEqual(tree.entries(), [[0n, A], [63n, B], [133n, C]]);
  assert.equal(xaLoad(tree.xarray, 63n), B);
  assert.equal(xaLoad(tree.xarray, 133n), C);
  for (const index of [1n, 64n, 134n, 4096n, 2n ** 63n]) {
    assert.equal(xaLoad(tree.xarray, index), undefined);
  }
});

Deno.test("xaForEach() yields values and skips markers", () => {
  const tree = new Tree();
  const value = 7n << 1n | 1n;
  tree.head(tree.node(0, { 1: value, 2: RETRY, 3: ZERO, 4: A, 5: sibling(4), 6: sibling(4) }));
  assert.deepEqual(tree.entries(), [[1n, value], [4n, A]]);
  assert.equal(xaLoad(tree.xarray, 1n), value);
  assert.equal(xaLoad(tree.xarray, 2n), undefined);
  assert.equal(xaLoad(tree.xarray, 3n), undefined);
  assert.deepEqual(new Tree().head(ZERO).entries(), []);
  assert.equal(xaLoad(new Tree().head(RETRY).xarray, 0n), undefined);
});

Deno.test("xaLoad() follows siblings to the entry of many indexes", () => {
  const tree = new Tree();
  tree.head(tree.node(6, { 4: A, 5: sibling(4), 6: sibling(63), 7: sibling(6) }));
  assert.equal(xaLoad(tree.xarray, 4n << 6n), A);
  assert.equal(xaLoad(tree.xarray, (5n << 6n) + 17n), A);
  assert.equal(xaLoad(tree.xarray, 6n << 6n), undefined);
  assert.equal(xaLoad(tree.xarray, 7n << 6n), undefined);
});

Deno.test("xaForEach() refuses nodes that do not fit together", () => {
  for (const shift of [61, 66, 255]) {
    const tree = new Tree();
    assert.throws(() => tree.head(tree.node(shift, { 1: A })).entries(), BrokenList);
  }
  const tree = new Tree();
  tree.head(tree.node(6, { 0: tree.node(6, { 0: A }) }));
  assert.throws(() => tree.entries(), /has shift 6/);
  const deep = new Tree();
  const entry = deep.node(60, { 15: A });
  assert.deepEqual(deep.head(entry).entries(), [[15n << 60n, A]]);
  assert.equal(xaLoad(deep.xarray, 15n << 60n), A);
});

Deno.test("xaForEach() ends in nodes that lead back to themselves", () => {
  const tree = new Tree();
  const entry = tree.node(6, {});
  for (let i = 0; i < 64; i++) {
    tree.machine.write(entry - 2n + 8n * BigInt(i) + slotsAt(tree), u64(entry));
  }
  tree.head(entry);
  assert.throws(() => tree.entries(), BrokenList);
  assert.equal(xaLoad(tree.xarray, 1n), undefined);
});

Deno.test("xaForEach() passes faults of nodes that cannot be read", () => {
  const tree = new Tree();
  tree.head(tree.node(6, { 0: tree.node(0, { 0: A }), 1: 0xffff999900000002n }));
  const seen: bigint[] = [];
  assert.throws(() => {
    for (const { value } of xaForEach(tree.xarray)) seen.push(value);
  }, { name: "MemoryFault" });
  assert.deepEqual(seen, [A]);
});

function slotsAt(tree: Tree): bigint {
  return BigInt(tree.machine.program.offsetOf("xa_node", "slots"));
}
