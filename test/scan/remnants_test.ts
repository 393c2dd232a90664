import assert from "node:assert/strict";
import type { KernelObject } from "../../lib/kernel/program.ts";
import type { FoundRing } from "../../lib/scan/find_rings.ts";
import { readFreedRing, remnantEntries, requestsByRing } from "../../lib/scan/remnants.ts";
import { Diagnostics } from "../../lib/scan/diagnostics.ts";
import { RingNotes } from "../../lib/scan/ring_notes.ts";
import { type CarvedRings } from "../../lib/scan/carve.ts";
import { readClock } from "../../lib/scan/clock.ts";
import { FakeMachine, type FakeStructs } from "../kernel/fake_machine.ts";

const STRUCTS: FakeStructs = {
  io_uring: { head: "u32", tail: "u32" },
  io_uring_cqe: { user_data: "u64", res: "s32", flags: "u32" },
  io_rings: {
    sq: "io_uring",
    cq: "io_uring",
    sq_ring_mask: "u32",
    cq_ring_mask: "u32",
    sq_ring_entries: "u32",
    cq_ring_entries: "u32",
    sq_dropped: "u32",
    cq_overflow: "u32",
    cqes: "io_uring_cqe",
    second: "io_uring_cqe",
    third: "io_uring_cqe",
    rest: "u64[10]",
  },
  io_ring_ctx: {
    flags: "u32",
    sq_entries: "u32",
    cq_entries: "u32",
    cached_sq_head: "u32",
    cached_cq_tail: "u32",
  },
  io_kiocb: { ctx: "*io_ring_ctx", opcode: "u8", user_data: "u64" },
};

/** A freed ring whose queues say that `taken` requests were submitted, with these completions. */
function freedRing(machine: FakeMachine, taken: number, completed: readonly bigint[]): FoundRing {
  const queues = machine.put("io_rings", {
    "sq.head": taken,
    "sq.tail": taken,
    "cq.tail": completed.length,
    sq_ring_entries: 4,
    cq_ring_entries: 8,
    "cqes.user_data": completed[0] ?? 0n,
    "second.user_data": completed[1] ?? 0n,
    "third.user_data": completed[2] ?? 0n,
  });
  const ctx = machine.put("io_ring_ctx");
  return {
    ctx,
    foundBy: new Set(["carved"]),
    holders: [],
    submitters: new Set(),
    file: undefined,
    freed: { queues },
  };
}

function requests(machine: FakeMachine, userData: readonly bigint[]): KernelObject[] {
  return userData.map((user_data) => machine.put("io_kiocb", { user_data }));
}

Deno.test("requestsByRing() keeps a ring's requests apart from an earlier ring's", () => {
  const machine = new FakeMachine({ structs: STRUCTS });
  const ring = freedRing(machine, 2, [0x21n, 0x22n]);
  const [old, first, second] = requests(machine, [0x11n, 0x21n, 0x22n]);
  const { own, earlier } = requestsByRing(ring, [old!, first!, second!]);
  assert.deepEqual(own, [first, second]);
  assert.deepEqual(earlier, [old]);
});

Deno.test("requestsByRing() parts nothing where a submission may have lost its completion", () => {
  const machine = new FakeMachine({ structs: STRUCTS });
  const all = requests(machine, [0x11n, 0x21n, 0x22n]);
  // One of three submissions has no completion; or two share their user_data.
  for (const completed of [[0x21n, 0x22n], [0x21n, 0x22n, 0x22n]]) {
    const { own, earlier } = requestsByRing(freedRing(machine, 3, completed), all);
    assert.deepEqual(own, all);
    assert.deepEqual(earlier, []);
  }
});

Deno.test("requestsByRing() parts nothing where the queues are gone", () => {
  const machine = new FakeMachine({ structs: STRUCTS });
  const all = requests(machine, [0x11n]);
  const ring: FoundRing = { ...freedRing(machine, 0, []), freed: { queues: undefined } };
  const { own, earlier } = requestsByRing(ring, all);
  assert.deepEqual(own, all);
  assert.deepEqual(earlier, []);
});

Deno.test("readFreedRing() says where requests may be an earlier ring's", () => {
  const machine = new FakeMachine({ structs: STRUCTS });
  const all = requests(machine, [0x11n, 0x21n]);
  const named = freedRing(machine, 1, [0x21n]);
  const unnamed = freedRing(machine, 2, [0x21n]);
  const bare: FoundRing = { ...named, freed: { queues: undefined } };
  const said = (ring: FoundRing, requests: readonly KernelObject[]) => {
    const notes = new RingNotes();
    readFreedRing(ring, requests, notes);
    return notes.diagnostics.map(({ message }) => message);
  };
  const doubt = "; requests may be of an earlier ring in the same memory";
  assert.deepEqual(said(bare, []), ["the ring no longer exists, and its queues are gone"]);
  assert.deepEqual(said(bare, all), [`the ring no longer exists, and its queues are gone${doubt}`]);
  assert.deepEqual(said(named, all), ["the ring no longer exists"]);
  assert.deepEqual(said(unnamed, all), [`the ring no longer exists${doubt}`]);
});

Deno.test("remnantEntries() keeps requests apart that the queues do not name", () => {
  const machine = new FakeMachine({ structs: STRUCTS });
  const { freed } = freedRing(machine, 1, [0x21n]);
  const [old, older, own] = requests(machine, [0x11n, 0x12n, 0x21n]);
  const { program } = machine;
  const context = { program, clock: readClock(program), diagnostics: new Diagnostics() };
  const carved: CarvedRings = {
    rings: [],
    headers: [freed!.queues!],
    requests: new Map([[0xffff_8880_0000_1000n, [old!, older!, own!]]]),
  };
  const options = { opcodeNames: new Map(), context };
  const entries = [...remnantEntries(carved, [], options)].map(({ history, diagnostics }) => [
    history!.map(({ user_data }) => user_data),
    diagnostics!.find(({ code }) => code === "ring_remnant")!.message,
  ]);
  assert.deepEqual(entries, [
    [["0x21"], "the ring no longer exists; only its queues are left"],
    [
      ["0x11", "0x12"],
      "the ring no longer exists; only its requests are left; requests may be of an earlier ring " +
      "in the same memory",
    ],
  ]);
});
