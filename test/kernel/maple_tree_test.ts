import assert from "node:assert/strict";
import { BrokenList } from "../../lib/kernel/lists.ts";
import { mtForEach } from "../../lib/kernel/maple_tree.ts";
import type { KernelObject } from "../../lib/kernel/program.ts";
import { FakeMachine, type FakeValue, u64 } from "./fake_machine.ts";

const STRUCTS = {
  maple_range_64: { parent: "*", pivot: "u64[15]", slot: "*[16]" },
  maple_arange_64: { parent: "*", pivot: "u64[9]", slot: "*[10]", gap: "u64[10]" },
  maple_tree: { lock: "u32", ma_flags: "u32", ma_root: "*" },
};
const LEAF = 1;
const RANGE = 2;
const ARANGE = 3;
const MAX = 2n ** 64n - 1n;
const A = 0xffff888000aaaa00n;
const B = 0xffff888000bbbb00n;
const C = 0xffff888000cccc00n;

class Tree {
  readonly machine = new FakeMachine({ structs: STRUCTS });
  readonly tree: KernelObject = this.machine.put("maple_tree");

  /** A node with its pivots and slots; the entry that points to it. */
  node(type: number, pivots: readonly bigint[], slots: readonly bigint[]): bigint {
    const name = type === ARANGE ? "maple_arange_64" : "maple_range_64";
    const object = this.machine.program.object(name, this.machine.allocate(256, 256));
    const words = (values: readonly bigint[], path: string) =>
      values.forEach((v, i) => this.machine.write(object.addressOf(path) + BigInt(i * 8), u64(v)));
    words(pivots, "pivot");
    words(slots, "slot");
    return object.address | BigInt(type) << 3n | 4n;
  }

  root(entry: FakeValue): this {
    this.machine.set(this.tree, "ma_root", entry);
    return this;
  }

  entries(): [bigint, bigint, bigint][] {
    return [...mtForEach(this.tree)].map(({ first, last, value }) => [first, last, value]);
  }
}

/** The root points to a node with these low bits besides its type. */
function asRoot(entry: bigint): bigint {
  return entry & ~7n | 2n;
}

Deno.test("mtForEach() yields a root that is an entry", () => {
  assert.deepEqual(new Tree().entries(), []);
  assert.deepEqual(new Tree().root(A).entries(), [[0n, 0n, A]]);
});

Deno.test("mtForEach() yields the ranges of a leaf, the last without a pivot", () => {
  const tree = new Tree();
  tree.root(asRoot(tree.node(LEAF, [0xfffn, 0x2fffn, 0x3fffn, MAX], [0n, A, 0n, B])));
  assert.deepEqual(tree.entries(), [[0x1000n, 0x2fffn, A], [0x4000n, MAX, B]]);
  const short = new Tree();
  short.root(asRoot(short.node(LEAF, [0xfffn], [A, B, C])));
  assert.deepEqual(short.entries(), [[0n, 0xfffn, A], [0x1000n, MAX, B]]);
  const full = new Tree();
  const pivots = Array.from({ length: 15 }, (_, i) => BigInt(i));
  full.root(asRoot(full.node(LEAF, pivots, Array(16).fill(A))));
  assert.equal(full.entries().length, 16);
  assert.deepEqual(full.entries().at(-1), [15n, MAX, A]);
});

for (const [type, name] of [[RANGE, "range64"], [ARANGE, "arange64"]] as const) {
  Deno.test(`mtForEach() goes through ${name} nodes`, () => {
    const tree = new Tree();
    const low = tree.node(LEAF, [0xfffn, 0x1fffn], [A, B]);
    const high = tree.node(LEAF, [0x4fffn, MAX], [0n, C]);
    tree.root(asRoot(tree.node(type, [0x1fffn, MAX], [low, high])));
    assert.deepEqual(tree.entries(), [
      [0n, 0xfffn, A],
      [0x1000n, 0x1fffn, B],
      [0x5000n, MAX, C],
    ]);
  });
}

Deno.test("mtForEach() refuses pivots that are out of order or out of range", () => {
  const falling = new Tree();
  falling.root(asRoot(falling.node(LEAF, [0x2000n, 0x1000n], [A, B, C])));
  assert.throws(() => falling.entries(), BrokenList);
  const outside = new Tree();
  const leaf = outside.node(LEAF, [0x9000n], [A, B]);
  outside.root(asRoot(outside.node(RANGE, [0x1fffn, MAX], [leaf, 0n])));
  assert.throws(() => outside.entries(), /pivots out of order/);
});

Deno.test("mtForEach() ends in nodes that lead back to themselves", () => {
  for (const slots of [1, 16]) {
    const tree = new Tree();
    const pivots = Array.from({ length: slots - 1 }, (_, i) => BigInt(i));
    const entry = tree.node(RANGE, pivots, []);
    const object = tree.machine.program.object("maple_range_64", entry & ~0xffn);
    for (let i = 0; i < slots; i++) {
      tree.machine.write(object.addressOf("slot") + BigInt(i * 8), u64(entry));
    }
    assert.throws(() => tree.root(asRoot(entry)).entries(), BrokenList);
  }
});

Deno.test("mtForEach() passes faults of nodes that cannot be read", () => {
  assert.throws(() => new Tree().root(0xffff99990000000an).entries(), { name: "MemoryFault" });
});
