import assert from "node:assert/strict";
import { Btf } from "../../lib/kernel/btf.ts";
import { type Isf, readIsf } from "../../lib/kernel/isf.ts";
import { KernelFileError } from "../../lib/kernel/kernel_file_error.ts";
import type { KernelTypes } from "../../lib/kernel/types.ts";
import { buildBtf } from "./fake_machine.ts";
import { writeIsf } from "./write_isf.ts";

const read = (text: string) => readIsf("x.json", new TextEncoder().encode(text));

const SECTIONS = { base_types: {}, user_types: {}, enums: {}, symbols: {} };
const isf = (sections: object) => read(JSON.stringify({ ...SECTIONS, ...sections }));

const BTF = buildBtf(
  {
    list_head: { next: "*list_head", prev: "*list_head" },
    outer: {
      head: "u64",
      body: { first: "u32", either: { union: { left: "u32", right: "s64", many: "u16[6]" } } },
      low: "u32:3",
      high: "u32:12",
      list: "list_head",
      back: "*outer",
      any: "*",
      tail: "s8[4]",
    },
  },
  { level: { LOW: -1, HIGH: 3, ABOVE: 2 } },
);

/** A member as far as it does not depend on how types are numbered. */
function memberOf(types: KernelTypes, name: string) {
  const { bitOffset, bitWidth, typeId } = types.struct("outer")!.members.get(name)!;
  const shape = types.shape(typeId);
  const inner = shape.kind === "pointer" ? types.shape(shape.target) : undefined;
  const target = inner?.kind === "struct" ? types.structOfId(inner.id).name : inner?.kind;
  const plain = shape.kind === "int" ? shape : shape.kind;
  return { bitOffset, bitWidth, plain, target, size: types.sizeOf(typeId) };
}

Deno.test("readIsf() gives the types that BTF gives", () => {
  const btf = new Btf(BTF);
  const { types } = read(writeIsf({ btf: BTF, symbols: new Map() }));
  const expected = btf.struct("outer")!;
  const got = types.struct("outer")!;
  assert.equal(got.size, expected.size);
  assert.deepEqual([...got.members.keys()].sort(), [...expected.members.keys()].sort());
  for (const name of expected.members.keys()) {
    assert.deepEqual(memberOf(types, name), memberOf(btf, name), name);
  }
  assert.equal(types.struct("none"), undefined);
  assert.equal(types.struct("constructor"), undefined);
  // By value, however they are written.
  assert.deepEqual([...types.enumWith("HIGH")!], [["LOW", -1], ["ABOVE", 2], ["HIGH", 3]]);
  assert.equal(types.enumWith("NONE"), undefined);
});

Deno.test("readIsf() knows the sizes and signs of enums, bools and chars", () => {
  const endian = "little";
  const field = (type: object, offset: number) => ({ type, offset });
  const { types } = isf({
    base_types: {
      int: { size: 4, signed: true, kind: "int", endian },
      "unsigned int": { size: 4, signed: false, kind: "int", endian },
      char: { size: 1, signed: true, kind: "char", endian },
      _Bool: { size: 1, signed: false, kind: "bool", endian },
      float: { size: 4, signed: true, kind: "float", endian },
    },
    enums: {
      a: { size: 4, base: "int", constants: { A: 1 } },
      b: { size: 4, base: "unsigned int", constants: { B: 1 } },
    },
    user_types: {
      s: {
        kind: "struct",
        size: 20,
        fields: {
          a: field({ kind: "enum", name: "a" }, 0),
          b: field({ kind: "enum", name: "b" }, 4),
          c: field({ kind: "base", name: "char" }, 8),
          d: field({ kind: "base", name: "_Bool" }, 9),
          e: field({ kind: "base", name: "float" }, 12),
          f: field({ kind: "function" }, 16),
        },
      },
    },
  });
  const shapes = [..."abcdef"].map((name) =>
    types.shape(types.struct("s")!.members.get(name)!.typeId)
  );
  assert.deepEqual(shapes, [
    { kind: "int", size: 4, signed: true },
    { kind: "int", size: 4, signed: false },
    { kind: "int", size: 1, signed: true },
    { kind: "int", size: 1, signed: false },
    { kind: "other" },
    { kind: "other" },
  ]);
});

Deno.test("readIsf() reads addresses that no number holds", () => {
  const { symbols } = read(
    JSON.stringify({ ...SECTIONS, symbols: undefined }).replace(
      "}}",
      `},"symbols":{"a":{"address":18446744071579885569},"b":{"type":{"kind":"base","name":"int"},
      "address" : -2130706431},"c":{"address":0}}}`,
    ),
  );
  assert.equal(symbols.count, 3);
  assert.deepEqual(symbols.addressesOf("a"), [0xffffffff810fe001n]);
  assert.deepEqual(symbols.addressesOf("b"), [0xffffffff81000001n]);
  // What is declared, but lies nowhere.
  assert.deepEqual(symbols.addressesOf("c"), []);
  assert.deepEqual(symbols.addressesOf("d"), []);
});

Deno.test("readIsf() reads the kernel's banner", () => {
  const symbols = new Map([["linux_banner", 0xffffffff82000000n]]);
  const banner = "Linux version 6.1.0 (someone@host)";
  assert.equal(read(writeIsf({ btf: BTF, symbols, banner })).banner, banner);
  assert.equal(read(writeIsf({ btf: BTF, symbols })).banner, undefined);
});

Deno.test("readIsf() says what it cannot read", () => {
  const refused = (text: string, why: RegExp | string) =>
    assert.throws(() => read(text), (error) => {
      assert.ok(error instanceof KernelFileError, String(error));
      assert.match(error.message, new RegExp(`^Cannot read "x.json": it is not ISF: ${why}`));
      return true;
    });
  refused("", "it is cut short$");
  refused("[]", "byte 0 is not an object$");
  refused("{}", 'it has no "base_types"$');
  refused(JSON.stringify({ ...SECTIONS, enums: undefined }), 'it has no "enums"$');
  refused(JSON.stringify({ ...SECTIONS, user_types: [] }), "byte \\d+ is not an object$");
  refused(JSON.stringify(SECTIONS).slice(0, -3), "it is cut short$");
  refused(
    JSON.stringify({ ...SECTIONS, symbols: { linux_banner: { address: 1, constant_data: "#" } } }),
    '"linux_banner" of "symbols" is damaged$',
  );
});

/** Reads all that a scan could ask for. */
function readAll({ types, symbols }: Isf): void {
  for (const name of ["outer", "list_head", "a"]) {
    for (const { typeId } of types.struct(name)?.members.values() ?? []) {
      const shape = types.shape(typeId);
      types.sizeOf(typeId);
      if (shape.kind === "struct") types.structOfId(shape.id);
      if (shape.kind === "pointer") types.shape(shape.target);
    }
  }
  types.enumWith("LOW");
  symbols.addressesOf("_stext");
}

Deno.test("readIsf() refuses damaged files, or reads what is left", () => {
  const symbols = new Map([["_stext", 0xffffffff81000000n], ["linux_banner", 0xffffffff82000000n]]);
  const text = writeIsf({ btf: BTF, symbols, banner: "Linux version 6.1" });
  const whole = new TextEncoder().encode(text);
  let refused = 0;
  const attempt = (bytes: Uint8Array) => {
    try {
      readAll(readIsf("x.json", bytes));
    } catch (error) {
      assert.ok(error instanceof KernelFileError, String(error));
      refused++;
    }
  };
  for (let length = 0; length < whole.length - 2; length += 7) attempt(whole.slice(0, length));
  assert.equal(refused, Math.ceil((whole.length - 2) / 7));
  for (let at = 0; at < whole.length; at++) {
    const bytes = whole.slice();
    bytes[at] = bytes[at]! ^ 1 << at % 8;
    attempt(bytes);
  }
});

Deno.test("readIsf() survives values of any depth and structs that hold each other", () => {
  const deep = "[".repeat(1_000_000) + "]".repeat(1_000_000);
  const sections = JSON.stringify(SECTIONS).slice(0, -1);
  readAll(read(`${sections}, "metadata": ${deep}}`));
  for (const value of [deep, `{"fields": {"f": {"type": ${deep}}}}`]) {
    readAll(read(sections.replace('"user_types":{}', `"user_types":{"a": ${value}}`) + "}"));
  }
  const fields = Object.fromEntries(
    Array.from({ length: 64 }, (_, i) => {
      const type = { kind: "struct", name: i % 2 === 0 ? "a" : "b" };
      return [`unnamed_field_${i}`, { type, offset: 0, anonymous: true }];
    }),
  );
  const struct = { kind: "struct", size: 8, fields };
  readAll(isf({ user_types: { a: struct, b: struct } }));
});
