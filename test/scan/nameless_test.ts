/** Scans kernels as if they named no data: CONFIG_KALLSYMS_ALL=n keeps functions only. */
import assert from "node:assert/strict";
import type { Kallsyms } from "../../lib/kernel/kallsyms.ts";
import { Program } from "../../lib/kernel/program.ts";
import { Clock } from "../../lib/scan/clock.ts";
import type { ScanContext } from "../../lib/scan/context.ts";
import { Diagnostics } from "../../lib/scan/diagnostics.ts";
import { findRings, foundByOf } from "../../lib/scan/find_rings.ts";
import { listProcesses } from "../../lib/scan/tasks.ts";
import { imageFixtures } from "../fixtures.ts";
import { PatchedImage } from "./patched_image.ts";

/** What such a kernel still names of what a scan looks for. */
const FUNCTIONS = [
  "_stext",
  "io_uring_release",
  "io_poll_task_func",
  "io_req_task_submit",
  "io_uring_cmd_work",
];

function ringsOf(program: Program) {
  const diagnostics = new Diagnostics();
  const context: ScanContext = { program, clock: new Clock(), diagnostics };
  const rings = findRings(context, listProcesses(context));
  return rings.map((ring) => ({
    ctx: ring.ctx.address,
    foundBy: foundByOf(ring),
    holders: ring.holders.map(({ process, fd }) => [process.pid, fd]),
  }));
}

// Slices of newer kernels lack what names their files: a scan that knows the symbol needs none.
for (const fixture of imageFixtures().filter((name) => /^(5\.10|6\.1)-[^b]*$/.test(name))) {
  Deno.test(`findRings() finds the rings of ${fixture} without a symbol of data`, () => {
    const { program } = new PatchedImage(fixture);
    const symbols = {
      lookup: (name: string) => FUNCTIONS.includes(name) ? program.symbols.lookup(name) : undefined,
      lookupAll: () => [],
    } as unknown as Kallsyms;
    const nameless = new Program(program.memory, program.types, symbols);
    assert.deepEqual(ringsOf(nameless), ringsOf(program));
  });
}
