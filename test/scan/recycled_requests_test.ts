/** Objects that a ring keeps for reuse, of which some were another ring's before. */
import assert from "node:assert/strict";
import type { KernelObject } from "../../lib/kernel/program.ts";
import { readRecycledRequests } from "../../lib/scan/kernel_requests.ts";
import { RingNotes } from "../../lib/scan/ring_notes.ts";
import { FakeMachine, type FakeValue } from "../kernel/fake_machine.ts";

const OPENAT = 18;

/** As Linux 6.12 keeps them. */
class Ring extends FakeMachine {
  readonly ctx: KernelObject;

  constructor() {
    super({
      structs: {
        node: { next: "*node" },
        io_submit_state: { free_list: "node" },
        io_ring_ctx: { submit_state: "io_submit_state" },
        io_cqe: { user_data: "u64", res: "s32", flags: "u32" },
        io_kiocb: { ctx: "*io_ring_ctx", opcode: "u8", cqe: "io_cqe", comp_list: "node" },
      },
    });
    this.ctx = this.put("io_ring_ctx");
  }

  /** Puts objects on the list of those that are free, in this order. */
  keep(objects: readonly { readonly [path: string]: FakeValue }[]): KernelObject[] {
    const kept = objects.map((values) => this.put("io_kiocb", { ctx: this.ctx, ...values }));
    const nodes = kept.map((kiocb) => kiocb.addressOf("comp_list"));
    this.set(this.ctx, "submit_state.free_list.next", nodes[0] ?? 0n);
    kept.forEach((kiocb, i) => this.set(kiocb, "comp_list.next", nodes[i + 1] ?? 0n));
    return kept;
  }

  recycled(most: number): bigint[] {
    return readRecycledRequests(this.ctx, { most, notes: new RingNotes() })
      .map(({ address }) => address);
  }
}

Deno.test("readRecycledRequests() leaves out objects that the ring has not used", () => {
  const ring = new Ring();
  const [used, failed] = ring.keep([
    { opcode: OPENAT, "cqe.user_data": 7, "cqe.res": 0 },
    { opcode: OPENAT, "cqe.user_data": 0, "cqe.res": -2 },
    // All zeros, and with the opcode of another ring's request.
    {},
    { opcode: OPENAT },
  ]);
  assert.deepEqual(ring.recycled(24), [used!.address, failed!.address]);
});

Deno.test("readRecycledRequests() gives no more requests than the ring has taken", () => {
  const ring = new Ring();
  const stale = { opcode: OPENAT, "cqe.user_data": 7 };
  const [latest] = ring.keep([{ opcode: OPENAT, "cqe.user_data": 9 }, stale, stale]);
  assert.deepEqual(ring.recycled(1), [latest!.address]);
  assert.deepEqual(ring.recycled(0), []);
  assert.deepEqual(ring.recycled(-1), []);
});

Deno.test("readRecycledRequests() leaves out objects of other rings", () => {
  const ring = new Ring();
  const other = ring.put("io_ring_ctx");
  ring.keep([{ ctx: other, opcode: OPENAT, "cqe.user_data": 7 }]);
  assert.deepEqual(ring.recycled(24), []);
});
