/**
 * A scan of the kernel that it runs on, through `/proc/kcore`, compared with what a workload there
 * says that it holds.
 */
import { deepStrictEqual, equal, match } from "node:assert/strict";
import { type AnyRecord } from "../live/capture.ts";
import type { HeldRings } from "../live/held_rings.ts";
import { guestParts, runInGuest } from "./guest_job.ts";
import { labTest } from "./lab_case.ts";

/** The kernel goes on while it is read, so what a scan meets may have changed half-way. */
const SCRIPT = `
mkfifo gate
workload hold < gate > hold &
exec 4> gate
await hold $!
for i in 1 2 3 4 5 6 7 8 9; do
	try scan iouring scan --format ndjson /proc/kcore
	grep -q '"complete":true' scan.out && break
done
send hold
`;

await labTest(
  "scan reads /proc/kcore of the kernel that it runs on",
  () => guestParts("6.12"),
  async () => {
    const report = await runInGuest("6.12", { script: SCRIPT });
    const linesOf = (name: string): AnyRecord[] =>
      report.get(name)!.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
    match(report.get("scan.err")!, /^5 rings in 1 process, 4 suspicious/);
    const said: HeldRings = linesOf("hold").find(({ holding }) => holding !== undefined)!;
    const records = linesOf("scan.out");
    equal(records.at(-1)!.phase, "end");
    const rings = records.filter(({ type }) => type === "IOUringEntry");
    deepStrictEqual(new Set(rings.map(({ pid }) => pid)), new Set([said.holding]));
    const entries = [8, 16, ...said.registered ? [32] : [], ...said.bare ? [64] : [], 128];
    deepStrictEqual(rings.map(({ sq_entries }) => sq_entries).sort((a, b) => a - b), entries);
    // What waits is a SEND.
    const open = rings.find(({ sq_entries }) => sq_entries === 8)!;
    deepStrictEqual(open.pending_opcodes, [26]);
  },
);
