import { deepStrictEqual, equal, ok } from "node:assert/strict";
import type { AnyRecord } from "./capture.ts";

/** What `workload hold` says that it holds. */
export interface HeldRings {
  readonly holding: number;
  /** This kernel lets a ring be registered and closed. */
  readonly registered: boolean;
  /** This kernel has rings that never were a file descriptor. */
  readonly bare: boolean;
}

/** Checks what a capture said of the rings that `workload hold` held when it started. */
export function checkHeldRings(records: readonly AnyRecord[], said: HeldRings): void {
  const { holding: pid, registered, bare } = said;
  const rings = records.filter((record) => record.type === "IOUringEntry" && record.pid === pid);
  const byEntries = new Map<number, AnyRecord>(rings.map((ring) => [ring.sq_entries, ring]));
  equal(byEntries.size, rings.length);
  deepStrictEqual([...byEntries.keys()].sort((a, b) => a - b), [
    8,
    16,
    ...registered ? [32] : [],
    ...bare ? [64] : [],
    128,
  ]);

  const open = byEntries.get(8);
  deepStrictEqual(open.found_by, ["fd", "tctx"]);
  deepStrictEqual(open.owners.length, 1);
  ok(open.owners[0].fd > 2);
  deepStrictEqual([open.sq_head, open.sq_tail, open.cq_head, open.cq_tail], [1, 2, 1, 1]);
  deepStrictEqual([open.dropped, open.overflow], [0, 0]);
  // What waits is a SEND, and one thread has a filter.
  deepStrictEqual(open.pending_opcodes, [26]);
  equal(open.bypasses_seccomp, true);

  for (const ring of rings) {
    equal(ring.comm, "workload");
    // Without its file, what a privileged process made does not name its user.
    equal(ring.creator_uid, ring.sq_entries === 16 ? undefined : 0);
    equal(ring.seccomp_active, true);
    deepStrictEqual(ring.seccomp, { mode: 2, filters: 1 });
    if (ring === open) continue;
    // Nobody knows what they did before.
    equal(ring.bypasses_seccomp, false);
    ok(ring.missing.includes("bypasses_seccomp"));
    ok(!ring.missing.includes("pending_opcodes"));
    deepStrictEqual(ring.pending_opcodes, []);
  }
  const hidden: [entries: number, foundBy: string[]][] = [[16, ["tctx"]]];
  if (registered) hidden.push([32, ["registered", "tctx"]]);
  if (bare) hidden.push([64, ["registered", "tctx"]]);
  for (const [entries, foundBy] of hidden) {
    const ring = byEntries.get(entries);
    deepStrictEqual(ring.found_by, foundBy);
    deepStrictEqual(ring.owners, [{ pid, comm: "workload", fd: -1 }]);
    ok(ring.classification.rules.some(({ id }: AnyRecord) => id === "hidden-ring"));
  }
  if (bare) {
    deepStrictEqual(byEntries.get(64).setup_flags, [
      "IORING_SETUP_NO_MMAP",
      "IORING_SETUP_REGISTERED_FD_ONLY",
    ]);
  }
  const polled = byEntries.get(128);
  deepStrictEqual(polled.setup_flags, ["IORING_SETUP_SQPOLL"]);
  equal(polled.sq_thread.pid, pid);
  ok(polled.sq_thread.tid > pid);
}
