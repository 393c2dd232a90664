import assert from "node:assert/strict";
import { isUsed, RingHeaders } from "../../lib/scan/ring_header.ts";
import { FakeMachine, type FakeStructs } from "../kernel/fake_machine.ts";

const CQE = { user_data: "u64", res: "s32", flags: "u32" };
const WORDS = {
  sq_ring_mask: "u32",
  cq_ring_mask: "u32",
  sq_ring_entries: "u32",
  cq_ring_entries: "u32",
  sq_dropped: "u32",
  sq_flags: "u32",
  cq_overflow: "u32",
};

/** Linux 6.6 and later; `cqes` is aligned, so that a word before it belongs to nobody. */
const COMPACT: FakeStructs = {
  io_uring: { head: "u32", tail: "u32" },
  io_uring_cqe: CQE,
  io_rings: { sq: "io_uring", cq: "io_uring", ...WORDS, cqes: "io_uring_cqe" },
};

/** Before that, head and tail have lines of their own. */
const WIDE: FakeStructs = {
  ...COMPACT,
  io_uring: { head: "u32", rest: "u32[15]", tail: "u32", last: "u32[15]" },
};

const SOUND = {
  "sq.head": 5,
  "sq.tail": 7,
  "cq.head": 4,
  "cq.tail": 5,
  sq_ring_mask: 7,
  cq_ring_mask: 15,
  sq_ring_entries: 8,
  cq_ring_entries: 16,
  sq_dropped: 1,
  sq_flags: 1,
  cq_overflow: 2,
};

for (const [layout, structs] of Object.entries({ compact: COMPACT, wide: WIDE })) {
  Deno.test(`RingHeaders.isHeader() knows the head of a ring by its sizes, ${layout}`, () => {
    const machine = new FakeMachine({ structs });
    const heads = new RingHeaders(machine.program);
    const isHeader = (values: Record<string, number>) =>
      heads.isHeader(machine.put("io_rings", { ...SOUND, ...values }));
    assert.ok(isHeader({}));
    assert.ok(isHeader({ "sq.head": 0xffff_ffff, "sq.tail": 3 }));
    assert.ok(!isHeader({ sq_ring_mask: 8 }));
    assert.ok(!isHeader({ cq_ring_entries: 24, cq_ring_mask: 23 }));
    assert.ok(!isHeader({ cq_ring_entries: 4, cq_ring_mask: 3 }));
    assert.ok(!isHeader({ "sq.tail": 14 }));
    assert.ok(!isHeader({ "cq.tail": 21 }));
  });

  Deno.test(`RingHeaders.isHeader() takes no table of small numbers for one, ${layout}`, () => {
    const machine = new FakeMachine({ structs });
    const rings = machine.put("io_rings", SOUND);
    const heads = new RingHeaders(machine.program);
    const size = machine.program.offsetOf("io_rings", "cqes");
    const bytes = machine.program.memory.read(rings.address, size);
    assert.ok(heads.isHeader(rings));
    bytes[size - 4] = 1;
    assert.ok(!heads.isHeader(rings));
    bytes[size - 4] = 0;
    assert.ok(heads.isHeader(rings));
  });
}

Deno.test("isUsed() tells a ring that nothing went through", () => {
  const machine = new FakeMachine({ structs: COMPACT });
  const isUsedWith = (values: Record<string, number>) => isUsed(machine.put("io_rings", values));
  assert.ok(!isUsedWith({ sq_ring_entries: 1, cq_ring_entries: 1 }));
  for (const path of ["sq.head", "sq.tail", "cq.tail"]) assert.ok(isUsedWith({ [path]: 1 }), path);
});
