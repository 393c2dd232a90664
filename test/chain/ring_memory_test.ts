import assert from "node:assert/strict";
import { RequestView } from "../../lib/chain/request_view.ts";
import { RingMemory } from "../../lib/chain/ring_memory.ts";

/** A request of a program that names a path. */
function request(program: string, path: string): RequestView {
  const record = {
    timestamp: "2026-01-01T00:00:00.000Z",
    process: { pid: 7, binary_path: program },
    io_uring: { ctx: "0x1", opcode_number: 21 },
    op_info: { path },
  };
  return new RequestView(record, record, "");
}

/** Whether a program has looked up `least` names. */
function lookUp(memory: RingMemory, { program = "/a", name = "a", least = 1 } = {}): boolean {
  const counting = { least, group: "/bin", name, lookupsOnly: true };
  const looked = request(program, `/bin/${name}`);
  const isReached = memory.reaches(looked, 0, counting);
  memory.note(looked);
  return isReached;
}

Deno.test("RingMemory counts a name no more that its program did something else with", () => {
  const memory = new RingMemory(new Set());
  assert.equal(lookUp(memory, { least: 2 }), false);
  memory.note(request("/a", "/srv/a"));
  assert.equal(lookUp(memory, { name: "b", least: 2 }), false);
  assert.equal(lookUp(memory, { least: 2 }), false);
  assert.equal(lookUp(memory, { name: "c", least: 2 }), true);
});

Deno.test("RingMemory keeps a bounded number of such names, of all programs together", () => {
  const memory = new RingMemory(new Set());
  const leave = (program: string, name: string) => {
    lookUp(memory, { program, name });
    memory.note(request(program, `/srv/${name}`));
  };
  leave("/a", "a");
  for (let i = 0; i < 64; i++) {
    for (let n = 0; n < 1024; n++) leave(`/b${i}`, `${n}`);
    // It remembers what was used last: the count itself stays.
    if (i < 8) assert.equal(lookUp(memory), false, `after ${i} programs`);
  }
  assert.equal(lookUp(memory), true);
});

Deno.test("RingMemory counts no name that is longer than a file can have", () => {
  const memory = new RingMemory(new Set());
  assert.equal(lookUp(memory, { name: "x".repeat(256) }), false);
  assert.equal(lookUp(memory, { name: "x".repeat(255) }), true);
});
