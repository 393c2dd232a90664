/**
 * Compares `iouring scan` with drgn, which walks the same image with the kernel's debug
 * information. Skipped where drgn or the debug files are missing; the name says why.
 */
import assert from "node:assert/strict";
import type { IOUringEntry } from "../../lib/record/records.ts";
import { PROGRAM } from "../paths.ts";
import { drgnCommand, drgnMissing, type DrgnOwner, type DrgnRing } from "./drgn.ts";
import { labDebug, type LabDump, labDump } from "./lab.ts";
import { labTest } from "./lab_case.ts";
import { LabUnavailableError, run } from "./run.ts";

/** The debug files of the first are fetched, some 300 MB; those of the others are used if there. */
const KERNELS = ["6.1", "6.12"];

/** What both know of a ring, in one form. */
interface Known extends Omit<DrgnRing, "cached_sq_head" | "cached_cq_tail"> {
  /** SQEs that the kernel has yet to take. */
  pending: number;
}

function jsonLines<T>(text: string): T[] {
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

function ordered(owners: readonly DrgnOwner[]): DrgnOwner[] {
  return owners.map(({ pid, fd }) => ({ pid, fd })).sort((a, b) => a.pid - b.pid || a.fd - b.fd);
}

function fromDrgn({ cached_sq_head, cached_cq_tail: _, ...ring }: DrgnRing): Known {
  const pending = Math.min((ring.sq_tail - cached_sq_head) >>> 0, ring.sq_entries);
  return { ...ring, pending, cancel_table: ring.cancel_table.sort(), owners: ordered(ring.owners) };
}

/** Of the requests in flight, those that `tags` names and those that only such a table holds. */
function fromScan(entry: IOUringEntry, tags: readonly string[]): Known {
  const cancel = (entry.in_flight ?? []).filter(({ state, user_data }) =>
    state === "poll_armed" || tags.includes(user_data)
  );
  return {
    ctx_addr: entry.ctx_addr,
    sq_entries: entry.sq_entries,
    cq_entries: entry.cq_entries,
    sq_head: entry.sq_head!,
    sq_tail: entry.sq_tail!,
    cq_head: entry.cq_head!,
    cq_tail: entry.cq_tail!,
    cancel_table: cancel.map(({ user_data }) => user_data).sort(),
    owners: ordered(entry.owners ?? []),
    pending: entry.pending?.length ?? 0,
  };
}

/** A dump that drgn can look at. */
async function drgnDump(kernel: string): Promise<LabDump> {
  if (kernel === KERNELS[0]) await labDebug(kernel);
  const reason = drgnMissing(kernel);
  if (reason !== undefined) throw new LabUnavailableError(reason);
  return await labDump({ kernel, vmcoreinfo: true });
}

for (const kernel of KERNELS) {
  await labTest(
    `scan of ${kernel} finds the rings that drgn finds with debug files, and their state`,
    () => drgnDump(kernel),
    async ({ paging }) => {
      const rings = jsonLines<DrgnRing>(await run(...drgnCommand(kernel, paging)));
      const entries = jsonLines<IOUringEntry>(await run(PROGRAM, ["scan", paging]))
        .filter(({ type }) => type === "IOUringEntry")
        .sort((a, b) => BigInt(a.ctx_addr) < BigInt(b.ctx_addr) ? -1 : 1);
      assert.ok(rings.length > 0);
      const address = ({ ctx_addr }: { ctx_addr: string }) => ctx_addr;
      assert.deepEqual(entries.map(address), rings.map(address));
      const got = entries.map((entry, i) => fromScan(entry, rings[i]!.cancel_table));
      assert.deepEqual(got, rings.map(fromDrgn));
    },
  );
}
