/** Processes of the lab's guests, compared with what each guest said of itself in its own /proc. */
import assert from "node:assert/strict";
import { findKernel } from "../../lib/kernel/find_kernel.ts";
import { MemoryFault } from "../../lib/kernel/memory_fault.ts";
import { xaLoad } from "../../lib/kernel/xarray.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import { readClock } from "../../lib/scan/clock.ts";
import type { ScanContext } from "../../lib/scan/context.ts";
import { Diagnostics } from "../../lib/scan/diagnostics.ts";
import { findVmemmapBase, pageFrameOf } from "../../lib/scan/page_frames.ts";
import { readProcess } from "../../lib/scan/process_block.ts";
import { listProcesses } from "../../lib/scan/tasks.ts";
import { UserMemory, vmasOf } from "../../lib/scan/user_memory.ts";
import { openImage } from "../ffi/open_image.ts";
import { type LabDump, labDump, type LabOptions } from "./lab.ts";
import { labTest } from "./lab_case.ts";
import type { LabTruth, RingTruth } from "./truth.ts";

const GUESTS: readonly LabOptions[] = [
  { kernel: "5.10", paging: 4 },
  { kernel: "6.1", paging: 4 },
  { kernel: "6.1", paging: 5 },
  { kernel: "6.12", paging: 4 },
  { kernel: "6.12", paging: 5 },
  { kernel: "backports", paging: 4 },
];
const TICK_MS = 10;
/** The guest's own `btime` is in whole seconds. */
const BOOT_SLACK_MS = 1000;
/** A row of pages of one area, so that large files do not take long. */
const MAX_PAGES = 512;

function withImage(
  { elf, truth }: LabDump,
  body: (context: ScanContext, truth: LabTruth) => void,
): void {
  const image = openImage(elf);
  try {
    const { memory, cpus, vmcoreinfo } = openMemory(image);
    const { program } = findKernel(memory, { name: elf, cpus, vmcoreinfo });
    const context = { program, clock: readClock(program), diagnostics: new Diagnostics() };
    body(context, truth);
  } finally {
    image.close();
  }
}

for (const guest of GUESTS) {
  const name = `${guest.kernel}, ${guest.paging}-level`;

  await labTest(
    `readProcess() agrees with the guest ${name}`,
    () => labDump(guest),
    (dump) =>
      withImage(dump, (context, truth) => {
        const { clock } = context;
        assert.ok(clock.bootTime !== undefined && clock.now !== undefined);
        const bootMs = Number(clock.bootTime / 1_000_000n);
        assert.ok(Math.abs(bootMs - truth.boot_time * 1000) <= BOOT_SLACK_MS);
        assert.ok(clock.now - clock.bootTime < 600n * 1_000_000_000n);

        const leaders = new Map(listProcesses(context).map(({ pid, leader }) => [pid, leader]));
        for (const ring of truth.rings) compareProcess(ring, leaders, context);
      }),
  );

  await labTest(
    `UserMemory finds the pages of files in ${name} where page tables have them`,
    () => labDump(guest),
    (dump) => withImage(dump, comparePages),
  );
}

function compareProcess(
  { name, expect, start_ticks }: RingTruth,
  leaders: ReadonlyMap<number, Parameters<typeof readProcess>[0]>,
  context: ScanContext,
): void {
  if (typeof expect.process !== "object" || expect.process === null) return;
  const truth = expect.process as { [key: string]: unknown };
  const leader = leaders.get(Number(truth.pid));
  assert.ok(leader !== undefined, `${name}: process ${truth.pid} is not there`);
  const { process, missing } = readProcess(leader, context);
  for (const [key, value] of Object.entries(truth)) {
    assert.deepEqual(process[key as keyof typeof process], value, `${name}: ${key}`);
  }
  assert.deepEqual(missing, [], name);
  if (start_ticks === 0) return;
  const startMs = Date.parse(process.start_time) - Number(context.clock.bootTime! / 1_000_000n);
  assert.ok(Math.abs(startMs - start_ticks * TICK_MS) <= TICK_MS, `${name}: start ${startMs}`);
}

/** Where both the page tables and the page cache know a page of a file, they name one frame. */
function comparePages(context: ScanContext): void {
  const { program } = context;
  const symbol = program.symbols.lookup("vmemmap_base")!;
  const vmemmap = program.memory.readPointer(symbol);
  const { size } = program.struct("page");
  let both = 0;
  let cacheOnly = 0;
  for (const { leader } of listProcesses(context)) {
    const mm = leader.tryDeref("mm");
    if (mm === undefined) continue;
    const memory = new UserMemory(mm);
    const space = program.memory.withRoot(program.memory.translate(mm.pointer("pgd")));
    for (const vma of vmasOf(mm)) {
      const file = vma.tryDeref("vm_file");
      // With an `anon_vma`, pages may be copies that the process has written to.
      if (file === undefined || vma.pointer("anon_vma") !== 0n) continue;
      const mapping = file.deref("f_mapping");
      const start = vma.bigint("vm_start");
      const pages = Math.min(MAX_PAGES, Number(vma.bigint("vm_end") - start >> 12n));
      for (let i = 0; i < pages; i++) {
        const address = start + BigInt(i) * 4096n;
        const index = vma.bigint("vm_pgoff") + BigInt(i);
        const entry = xaLoad(mapping.embedded("i_pages"), index);
        if (entry === undefined || (entry & 1n) === 1n) continue;
        assert.equal(findVmemmapBase(program.memory, { page: entry, size }), vmemmap);
        const frame = pageFrameOf(program, { entry, mapping: mapping.address, index });
        assert.ok(frame !== undefined);
        const expected = program.memory.physical.read(frame * 4096, 64);
        assert.deepEqual(memory.bytes(address, 64), { ok: true, bytes: expected });
        try {
          assert.equal(frame * 4096, space.translate(address));
          both++;
        } catch (error) {
          if (!(error instanceof MemoryFault)) throw error;
          cacheOnly++;
        }
      }
    }
  }
  assert.ok(both > 1000 && cacheOnly > 1000, `${both} pages in both, ${cacheOnly} in the cache`);
}
