import assert from "node:assert/strict";
import { FakeMachine, u64 } from "./fake_machine.ts";

const STRUCTS = {
  inner: { a: "u8", b: "u64" },
  node: {
    tag: "u16",
    next: "*node",
    inner: "inner",
    name: "s8[5]",
    either: { union: { left: "u32", right: "u64" } },
    low: "u32:3",
    high: "u32:30",
    flags: "s32",
    text: "*s8",
  },
};

Deno.test("FakeMachine lays structs out as a compiler does", () => {
  const { program } = new FakeMachine({ structs: STRUCTS });
  const offsets = ["tag", "next", "inner.a", "inner.b", "name", "left", "right"].map((path) =>
    program.offsetOf("node", path)
  );
  assert.deepEqual(offsets, [0, 8, 16, 24, 32, 40, 40]);
  assert.equal(program.offsetOf("node", "high"), 52);
  assert.equal(program.struct("node").size, 72);
});

for (const levels of [4, 5] as const) {
  Deno.test(`FakeMachine reads back what it wrote through ${levels} levels`, () => {
    const machine = new FakeMachine({
      structs: STRUCTS,
      enums: { colour: { RED: 0, GREEN: 1 } },
      levels,
    });
    const first = machine.put("node", { tag: 0xffff, "inner.b": 2n ** 63n, text: "hello" });
    const second = machine.put("node", { next: first, flags: -7, name: "four" });
    machine.write(second.addressOf("low"), u64(5n | 9n << 32n));
    assert.equal(second.deref("next").number("tag"), 0xffff);
    assert.equal(second.deref("next").bigint("inner.b"), 2n ** 63n);
    assert.equal(second.number("flags"), -7);
    assert.equal(new TextDecoder().decode(second.text("name")), "four");
    assert.equal(new TextDecoder().decode(first.string("text")), "hello");
    assert.equal(second.number("low"), 5);
    assert.equal(second.number("high"), 9);
    assert.equal(machine.types.enumWith("GREEN")?.get("GREEN"), 1);
    // Over more pages than one.
    const many = Uint8Array.from({ length: 10_000 }, (_, i) => i);
    const address = machine.putBytes(many);
    assert.deepEqual(machine.program.memory.read(address, many.length), many);
  });
}

Deno.test("FakeMachine.define() makes symbols that a program finds", () => {
  const machine = new FakeMachine({ structs: STRUCTS });
  const node = machine.put("node", { tag: 3 });
  machine.define("first_node", node.address);
  assert.equal(machine.program.variable("first_node", "node")?.number("tag"), 3);
  assert.equal(machine.program.symbols.lookup("second_node"), undefined);
});
