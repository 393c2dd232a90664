import assert from "node:assert/strict";
import { HeaderIndex } from "../../lib/scan/header_index.ts";
import { RequestOwners } from "../../lib/scan/request_owners.ts";
import type { Completion } from "../../lib/scan/ring_state.ts";
import { FakeMachine } from "../kernel/fake_machine.ts";

function machine() {
  return new FakeMachine({
    structs: {
      io_uring: { head: "u32", tail: "u32" },
      io_rings: { sq: "io_uring", cq: "io_uring", sq_ring_entries: "u32", cq_ring_entries: "u32" },
      io_ring_ctx: {
        sq_entries: "u32",
        cq_entries: "u32",
        cached_sq_head: "u32",
        cached_cq_tail: "u32",
      },
      io_kiocb: { ctx: "*io_ring_ctx", user_data: "u64" },
    },
  });
}

/** Counts what is read of a machine's memory. */
function countReads({ memory }: FakeMachine) {
  const counted = { reads: 0 };
  const read = memory.read.bind(memory);
  memory.read = (address, length) => {
    counted.reads++;
    return read(address, length);
  };
  return counted;
}

function header(machine: FakeMachine, taken: number, posted: number) {
  const values = { sq_ring_entries: 4, cq_ring_entries: 8, "sq.head": taken, "cq.tail": posted };
  return machine.put("io_rings", values);
}

function context(machine: FakeMachine, taken: number, posted: number, cqEntries = 8) {
  const values = { sq_entries: 4, cq_entries: cqEntries };
  return machine.put("io_ring_ctx", { ...values, cached_sq_head: taken, cached_cq_tail: posted });
}

Deno.test("HeaderIndex.headerOf() gives the one head that fits a freed context", () => {
  const kernel = machine();
  const index = new HeaderIndex(
    new Map([
      [0x1000, header(kernel, 5, 5)],
      [0x2000, header(kernel, 5, 6)],
      [0x3000, header(kernel, 7, 7)],
      [0x4000, header(kernel, 8, 8)],
      [0x5000, header(kernel, 8, 8)],
    ]),
  );
  assert.equal(index.headerOf(context(kernel, 5, 6), undefined), 0x2000);
  assert.equal(index.headerOf(context(kernel, 5, 7), undefined), undefined);
  // Where the size of the completion queue was overwritten, its counter says nothing.
  assert.equal(index.headerOf(context(kernel, 7, 9, 0x1234567), undefined), 0x3000);
  assert.equal(index.headerOf(context(kernel, 5, 9, 0x1234567), undefined), undefined);
  const twice = context(kernel, 8, 8);
  assert.equal(index.headerOf(twice, undefined), undefined);
  assert.equal(index.headerOf(twice, 0x5000), 0x5000);
  assert.equal(index.headerOf(twice, 0x1000), undefined);
  index.remove(0x5000);
  assert.equal(index.headerOf(twice, undefined), 0x4000);
  assert.equal(index.headerOf(twice, 0x5000), undefined);
});

Deno.test("HeaderIndex reads each head and each context once, however many there are", () => {
  const COUNT = 500;
  const kernel = machine();
  const headers = new Map(
    Array.from({ length: COUNT }, (_, i) => [i * 4096, header(kernel, i % 2, 3)] as const),
  );
  const contexts = Array.from({ length: COUNT }, () => context(kernel, 1, 3));
  const counted = countReads(kernel);
  const index = new HeaderIndex(headers);
  for (const ctx of contexts) assert.equal(index.headerOf(ctx, undefined), undefined);
  assert.ok(counted.reads < 20 * COUNT, `${counted.reads} reads`);
});

function completed(...userData: bigint[]): Completion[] {
  return userData.map((userData, position) => ({
    position,
    userData,
    result: 0,
    flags: 0,
    waiting: false,
  }));
}

Deno.test("RequestOwners.take() gives the first context of a completed request, each once", () => {
  const kernel = machine();
  const request = (user_data: bigint) => kernel.put("io_kiocb", { user_data });
  const owners = new RequestOwners([
    [1n, [request(0x11n), request(0x12n), request(0n)]],
    [2n, [request(0x12n), request(0x13n)]],
    [3n, [request(0x11n)]],
  ]);
  assert.equal(owners.isEmpty, false);
  assert.equal(owners.take(completed(0n, 0x99n)), undefined);
  assert.equal(owners.take(completed(0x13n, 0x12n)), 1n);
  assert.equal(owners.take(completed(0x12n)), 2n);
  assert.equal(owners.take(completed(0x12n)), undefined);
  assert.equal(owners.take(completed(0x11n)), 3n);
  assert.equal(owners.take(completed(0x11n)), undefined);
  assert.equal(new RequestOwners([[1n, [request(0n)]]]).isEmpty, true);
});

Deno.test("RequestOwners reads each request once, however many completions there are", () => {
  const COUNT = 500;
  const kernel = machine();
  const requests = Array.from({ length: COUNT }, (_, i) =>
    [
      BigInt(i + 1),
      [kernel.put("io_kiocb", { user_data: 7n })],
    ] as const);
  const counted = countReads(kernel);
  const owners = new RequestOwners(requests);
  for (let i = 0; i < COUNT; i++) assert.equal(owners.take(completed(7n, 8n)), BigInt(i + 1));
  assert.equal(owners.take(completed(7n)), undefined);
  assert.ok(counted.reads < 10 * COUNT, `${counted.reads} reads`);
});
