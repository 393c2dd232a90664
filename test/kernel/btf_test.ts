import assert from "node:assert/strict";
import { Btf } from "../../lib/kernel/btf.ts";
import { BtfError, btfLength } from "../../lib/kernel/btf_format.ts";
import { buildBtf } from "./fake_machine.ts";

const INT = 1 << 24;
const ARRAY = 3 << 24;
const STRUCT = 4 << 24;
const ENUM = 6 << 24;
const TYPEDEF = 8 << 24;
const CONST = 10 << 24;
const ENUM64 = 19 << 24;
const SIGNED = 1 << 31;

/** A blob of types as their 32-bit words, and the strings that lie behind them. */
function blob(types: number[][], strings = "\0"): Uint8Array<ArrayBuffer> {
  const words = types.flat();
  const text = new TextEncoder().encode(strings);
  const bytes = new Uint8Array(24 + words.length * 4 + text.length);
  const view = new DataView(bytes.buffer);
  const header = [0xeb9f | 1 << 16, 24, 0, words.length * 4, words.length * 4, text.length];
  [...header, ...words].forEach((word, i) => view.setUint32(i * 4, word >>> 0, true));
  bytes.set(text, 24 + words.length * 4);
  return bytes;
}

Deno.test("Btf.struct() puts the members of anonymous structs and unions in their place", () => {
  const types = new Btf(buildBtf({
    outer: {
      head: "u64",
      body: { first: "u32", either: { union: { left: "u32", right: "u64" } } },
      tail: "u8",
    },
  }));
  const { members, size } = types.struct("outer")!;
  assert.deepEqual([...members.keys()], ["head", "first", "left", "right", "tail"]);
  assert.deepEqual(
    ["head", "first", "left", "right", "tail"].map((name) => members.get(name)!.bitOffset / 8),
    [0, 8, 16, 16, 24],
  );
  assert.equal(size, 32);
  assert.equal(types.struct("inner"), undefined);
  assert.equal(types.struct("inner"), undefined);
});

Deno.test("Btf.struct() knows offset and width of bit-fields", () => {
  const types = new Btf(buildBtf({ flags: { a: "u32:3", b: "u32:12", c: "u64" } }));
  const { members } = types.struct("flags")!;
  assert.deepEqual(members.get("b"), { ...members.get("b"), bitOffset: 3, bitWidth: 12 });
  assert.deepEqual(members.get("c"), { ...members.get("c"), bitOffset: 64, bitWidth: 0 });
});

Deno.test("Btf.struct() takes the first of several structs of a name", () => {
  const types = new Btf(blob([
    [1, INT, 4, 32],
    [5, STRUCT | 1, 4, 7, 1, 0],
    [5, STRUCT | 1, 8, 9, 1, 0],
  ], "\0int\0s\0a\0b\0"));
  assert.deepEqual([...types.struct("s")!.members.keys()], ["a"]);
});

Deno.test("Btf.shape() takes typedefs and qualifiers off", () => {
  const types = new Btf(blob([[0, INT, 4, 1 << 24 | 32], [0, CONST, 1], [0, TYPEDEF, 2]]));
  assert.deepEqual(types.shape(3), { kind: "int", size: 4, signed: true });
  assert.equal(types.sizeOf(3), 4);
});

Deno.test("Btf.shape() gives up on typedefs that lead back to themselves", () => {
  const types = new Btf(blob([[0, TYPEDEF, 2], [0, CONST, 1]]));
  assert.deepEqual(types.shape(1), { kind: "other" });
  assert.equal(types.sizeOf(2), 0);
});

Deno.test("Btf.shape() knows the sign of enums", () => {
  const types = new Btf(blob([[0, ENUM, 4], [0, SIGNED | ENUM, 4], [0, SIGNED | ENUM64, 8]]));
  assert.deepEqual([1, 2, 3].map((id) => types.shape(id)), [
    { kind: "int", size: 4, signed: false },
    { kind: "int", size: 4, signed: true },
    { kind: "int", size: 8, signed: true },
  ]);
});

Deno.test("Btf.shape() takes no integer of an impossible size", () => {
  const types = new Btf(blob([[0, INT, 0, 0], [0, INT, 17, 0], [0, INT, 0xffffffff, 0]]));
  for (const id of [1, 2, 3]) assert.deepEqual(types.shape(id), { kind: "other" });
});

Deno.test("Btf.sizeOf() multiplies arrays of arrays", () => {
  const types = new Btf(blob([
    [0, INT, 2, 16],
    [0, ARRAY, 0, 1, 1, 3],
    [0, ARRAY, 0, 2, 1, 5],
    [0, ARRAY, 0, 4, 1, 9],
  ]));
  assert.equal(types.sizeOf(3), 30);
  assert.deepEqual(types.shape(3), { kind: "array", element: 2, count: 5 });
  // An array of itself has no size.
  assert.equal(types.sizeOf(4), 0);
  assert.equal(types.sizeOf(0), 0);
  assert.equal(types.sizeOf(99), 0);
});

Deno.test("Btf.enumWith() finds the enum of an enumerator, negative values included", () => {
  const types = new Btf(buildBtf({}, {
    colour: { RED: 0, GREEN: 1 },
    level: { LOW: -1, HIGH: 3 },
  }));
  assert.deepEqual([...types.enumWith("HIGH")!], [["LOW", -1], ["HIGH", 3]]);
  assert.equal(types.enumWith("BLUE"), undefined);
});

Deno.test("Btf.struct() ends where structs hold each other over and over", () => {
  // Each of 30 structs holds the next 64 times without a name: 64^30 members.
  const types = Array.from({ length: 30 }, (_, i) => {
    const members = Array.from({ length: 64 }, () => [0, i + 2, 0]).flat();
    return [i === 0 ? 1 : 0, STRUCT | 64, 4, ...members];
  });
  types.push([0, STRUCT | 1, 4, 3, 0, 0]);
  assert.ok(new Btf(blob(types, "\0s\0m\0")).struct("s")!.members.size <= 1);
  const itself = new Btf(blob([[1, STRUCT | 1, 4, 0, 1, 0]], "\0s\0"));
  assert.equal(itself.struct("s")!.members.size, 0);
});

Deno.test("Btf.struct() reads names that do not end no further than a name goes", () => {
  const types = new Btf(blob([[1, STRUCT | 1, 4, 3, 1, 0]], "\0s\0" + "x".repeat(100_000)));
  for (const name of types.struct("s")!.members.keys()) assert.equal(name.length, 512);
});

Deno.test("Btf() refuses names that are none, and ids that lead nowhere", () => {
  const strings = "\0s\0member\0";
  const damaged = /^type 1 of BTF is damaged$/;
  // Outside of the strings, and within one.
  for (const name of [0xffff, 11, 5]) {
    assert.throws(() => new Btf(blob([[name, STRUCT, 0]], strings)), { message: damaged });
    assert.throws(() => new Btf(blob([[1, STRUCT | 1, 4, name, 1, 0]], strings)), {
      message: damaged,
    });
  }
  assert.throws(() => new Btf(blob([[1, STRUCT | 1, 4, 3, 9, 0]], strings)), { message: damaged });
  // A function has a prototype, or what comes before it is not what it was.
  assert.throws(() => new Btf(blob([[0, INT, 4, 32], [1, 12 << 24, 1]], strings)), /have no type$/);
  assert.throws(() => new Btf(blob([[0, INT, 4, 32]], "\0s\0\0t\0")), /strings of BTF are missing/);
});

Deno.test("Btf() refuses what is not BTF", () => {
  const good = buildBtf({ s: { a: "u32" } });
  assert.equal(btfLength(good), good.length);
  assert.equal(new Btf(good).size, good.length);
  for (const [at, value] of [[0, 0], [2, 2], [4, 25], [8, 4], [12, 0], [16, 1], [20, 0]] as const) {
    const bytes = good.slice();
    bytes[at] = value;
    if (at >= 8) bytes.fill(0, at + 1, at + 4);
    assert.throws(() => new Btf(bytes), BtfError, `byte ${at}`);
  }
});

Deno.test("Btf() refuses a blob cut at any byte", () => {
  const good = buildBtf({ s: { a: "u32", b: "*s" } }, { e: { A: 1 } });
  for (let length = 0; length < good.length; length++) {
    assert.throws(() => new Btf(good.slice(0, length)), BtfError, `${length} bytes`);
  }
});

Deno.test("Btf() refuses types that end outside their section, and kinds that do not exist", () => {
  assert.throws(() => new Btf(blob([[0, STRUCT | 2, 4, 0, 0, 0]])), /type 1 of BTF is damaged/);
  assert.throws(() => new Btf(blob([[0, 0, 4]])), /type 1 of BTF is damaged/);
  assert.throws(() => new Btf(blob([[0, 31 << 24, 4]])), /type 1 of BTF is damaged/);
  assert.throws(() => new Btf(blob([[0, INT, 4, 32], [0]])), /type 2 of BTF is damaged/);
});

Deno.test("Btf() throws nothing but BtfError on any bytes, nor do its reads", () => {
  const good = buildBtf(
    { s: { a: "u32", in: { b: "u8[4]", c: { union: { d: "*s", e: "u64" } } } } },
    { e: { A: 1, B: 2 } },
  );
  let state = 1;
  const random = (end: number) => (state = state * 48271 % 0x7fffffff) % end;
  for (let round = 0; round < 3000; round++) {
    const bytes = good.slice();
    for (let i = random(4); i >= 0; i--) bytes[random(bytes.length)] = random(256);
    let types: Btf;
    try {
      types = new Btf(bytes);
    } catch (error) {
      assert.ok(error instanceof BtfError, String(error));
      continue;
    }
    types.struct("s");
    types.enumWith("B");
    for (let id = 0; id < types.typeCount + 2; id++) {
      types.shape(id);
      types.sizeOf(id);
      if (types.shape(id).kind === "struct") types.structOfId(id);
    }
  }
});
