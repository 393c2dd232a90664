import assert from "node:assert/strict";
import type { IOUringEntry } from "../../lib/record/records.ts";
import { putRegistered } from "../../lib/scan/ring_context.ts";
import { RingNotes } from "../../lib/scan/ring_notes.ts";
import type { FakeValue } from "../kernel/fake_machine.ts";
import { u64 } from "../kernel/fake_machine.ts";
import { FakeKernel } from "./fake_kernel.ts";

const NOWHERE = 0xffffc90000000000n;

function kernel(): FakeKernel {
  return new FakeKernel({
    io_mapped_ubuf: { ubuf: "u64", len: "u32" },
    io_file_table: { files: "*" },
    io_restriction: {
      sqe_op: "u8[8]",
      register_op: "u8[8]",
      sqe_flags_allowed: "u8",
      sqe_flags_required: "u8",
      registered: "u8",
    },
    io_ring_ctx: {
      file_table: "io_file_table",
      nr_user_files: "u32",
      nr_user_bufs: "u32",
      user_bufs: "*",
      personalities: "xarray",
      restrictions: "io_restriction",
    },
  });
}

/** What is put into the entry of a ring, and what is said of it. */
function registered(machine: FakeKernel, values: Record<string, FakeValue>) {
  const entry = {} as IOUringEntry;
  const notes = new RingNotes();
  const opcodeOf = (opcode: number) => `op ${opcode}`;
  putRegistered(entry, machine.put("io_ring_ctx", values), { opcodeOf, notes });
  const said = notes.diagnostics.map(({ code, hides }) => `${code}: ${hides}`);
  return { entry, said, messages: notes.diagnostics.map(({ message }) => message) };
}

Deno.test("putRegistered() puts in what there is, and says nothing of what there is not", () => {
  const machine = kernel();
  assert.deepEqual(registered(machine, {}), { entry: {}, said: [], messages: [] });
  const buffer = machine.put("io_mapped_ubuf", { ubuf: 0x7000n, len: 64 });
  const { entry, said } = registered(machine, {
    nr_user_bufs: 1,
    user_bufs: machine.putBytes(u64(buffer.address)),
    "restrictions.registered": 1,
  });
  assert.deepEqual(entry.registered_buffers, {
    slots: 1,
    buffers: [{ slot: 0, addr: "0x7000", len: 64 }],
  });
  assert.deepEqual(entry.restrictions?.sqe_ops, []);
  assert.deepEqual(said, []);
});

Deno.test("putRegistered() says what it cannot read", () => {
  const machine = kernel();
  const { entry, said } = registered(machine, {
    nr_user_files: 2,
    "file_table.files": NOWHERE,
    nr_user_bufs: 1,
    user_bufs: machine.putBytes(u64(NOWHERE)),
    "personalities.xa_head": NOWHERE + 2n,
  });
  assert.deepEqual(entry, { registered_buffers: { slots: 1, buffers: [] } });
  assert.deepEqual(said, [
    "registered_unreadable: registered files",
    "registered_unreadable: what is registered there",
    "registered_unreadable: personalities",
  ]);
  const absurd = registered(machine, { nr_user_files: 2 ** 31, "file_table.files": NOWHERE });
  assert.match(absurd.messages[0]!, /2147483648 slots/);
  const oneFile = machine.putBytes(u64(NOWHERE));
  const file = registered(machine, { nr_user_files: 1, "file_table.files": oneFile });
  assert.deepEqual(file.messages, ["slot 0 of registered files: the file cannot be read"]);
});

Deno.test("putRegistered() says where restrictions cannot be read: they do not allow everything", () => {
  const machine = kernel();
  const ctx = machine.put("io_ring_ctx", { "restrictions.registered": 1 });
  machine.memory.remove(machine.program.memory.translate(ctx.addressOf("restrictions")));
  const notes = new RingNotes();
  putRegistered({} as IOUringEntry, ctx, { opcodeOf: String, notes });
  assert.ok(notes.damaged);
  assert.ok(notes.diagnostics.some(({ hides }) => hides === "restrictions"));
});

Deno.test("putRegistered() says how many personalities it leaves out", () => {
  const machine = kernel();
  const cred = machine.put("cred", { "uid.val": 1000 });
  const leaf = (count: number) => {
    const node = machine.put("xa_node", { shift: 0 });
    for (let i = 0; i < count; i++) {
      machine.write(node.addressOf("slots") + BigInt(i * 8), u64(cred.address));
    }
    return node.address + 2n;
  };
  const root = machine.put("xa_node", { shift: 6 });
  machine.write(root.addressOf("slots"), u64(leaf(64)));
  machine.write(root.addressOf("slots") + 8n, u64(leaf(3)));
  const { entry, messages } = registered(machine, { "personalities.xa_head": root.address + 2n });
  assert.equal(entry.personalities?.length, 64);
  assert.deepEqual(messages, ["64 personalities are described, there are 3 more"]);
});
