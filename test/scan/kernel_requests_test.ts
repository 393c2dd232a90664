import assert from "node:assert/strict";
import { type HeldRequest, readHeldRequests } from "../../lib/scan/kernel_requests.ts";
import { RingNotes } from "../../lib/scan/ring_notes.ts";
import { FakeMachine, u64 } from "../kernel/fake_machine.ts";

const NOWHERE = 0xffffc90000000000n;

function machine(request: Record<string, string> = {}): FakeMachine {
  return new FakeMachine({
    structs: {
      hlist_node: { next: "*hlist_node", pprev: "*" },
      io_kiocb: { ctx: "*io_ring_ctx", hash_node: "hlist_node", ...request },
      io_ring_ctx: { cancel_hash: "*", cancel_hash_bits: "u32" },
    },
  });
}

function said(notes: RingNotes): string[] {
  return notes.diagnostics.map(({ code, message }) => `${code}: ${message}`);
}

Deno.test("readHeldRequests() says where a table cannot be as large as it claims to be", () => {
  const kernel = machine();
  const notes = new RingNotes();
  const ctx = kernel.put("io_ring_ctx", { cancel_hash: NOWHERE, cancel_hash_bits: 21 });
  assert.deepEqual(readHeldRequests(ctx, [], notes), []);
  assert.deepEqual(said(notes), [
    "request_list_broken: cancel_hash: 2^21 buckets, expected 2^20 at most",
  ]);
});

Deno.test("readHeldRequests() says where a chain of requests breaks off, and of what it cannot read", () => {
  const kernel = machine({ link: "*io_kiocb" });
  const notes = new RingNotes();
  const ctx = kernel.put("io_ring_ctx");
  const second = kernel.put("io_kiocb", { ctx, link: NOWHERE });
  const first = kernel.put("io_kiocb", { ctx, link: second });
  const node = first.addressOf("hash_node");
  kernel.set(ctx, "cancel_hash", kernel.putBytes(u64(node)));
  assert.deepEqual(readHeldRequests(ctx, [], notes).map(({ kiocb }) => kiocb.address), [
    first.address,
    second.address,
  ]);
  const nowhere = NOWHERE.toString(16);
  assert.equal(said(notes).length, 2);
  assert.match(said(notes)[0]!, /^request_list_broken: link: address 0xffffc9.* is unmapped$/);
  assert.equal(said(notes)[1], `request_unreadable: request at 0x${nowhere} cannot be read`);
});

Deno.test("readHeldRequests() says that there are more requests than it tells of", () => {
  const MOST = 262_144;
  const kernel = machine();
  const notes = new RingNotes();
  const ctx = kernel.put("io_ring_ctx");
  const { program } = kernel;
  const memory = kernel.allocate(MOST + 64);
  // They overlap, and none is of this ring: only how many there are matters.
  const ofTasks = (count: number): HeldRequest[] =>
    Array.from({ length: count }, (_, i) => ({
      kiocb: program.object("io_kiocb", memory + BigInt(i)),
      state: "task_work",
    }));
  readHeldRequests(ctx, ofTasks(MOST), notes);
  assert.deepEqual(said(notes), []);
  readHeldRequests(ctx, ofTasks(MOST + 1), notes);
  assert.deepEqual(said(notes), ["requests_cut: more than 262144 requests in flight"]);
});
