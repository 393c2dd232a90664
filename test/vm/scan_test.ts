/**
 * Scans memory of real kernels with `dist/iouring`, as a user would, and compares with what the
 * guests said of themselves.
 *
 * A machine that cannot boot a guest, or cannot get a kernel, skips these tests; their names say
 * why.
 */
import assert from "node:assert/strict";
import type { IOUringEntry, IOUringStatus } from "../../lib/record/records.ts";
import type { KernelObject } from "../../lib/kernel/program.ts";
import { describeFile, fileOfFd, sockOf } from "../../lib/scan/file_target.ts";
import { parkedFiles } from "../../lib/scan/parked_files.ts";
import { PROGRAM } from "../paths.ts";
import { takePid, taskNamed, unlinkTask } from "../scan/hide_task.ts";
import { compareEntries, compareFdInfo, type Difference, differenceText } from "./compare.ts";
import { EditedDump } from "./edited_dump.ts";
import { kernelsToTest } from "./kernels.ts";
import { labDump, type LabOptions, labSmear, labSparse } from "./lab.ts";
import { labTest } from "./lab_case.ts";

/** A scan that hangs is ended after so long. */
const MAX_TIME_MS = 600_000;
const KERNELS = kernelsToTest("6.1", "6.12", "5.10", "backports");

/** What a scan wrote to standard output. */
interface Scan {
  /** The lines of the entries, as they are. */
  lines: string[];
  entries: IOUringEntry[];
  start: IOUringStatus;
  end: IOUringStatus;
}

async function scan(image: string, ...flags: string[]): Promise<Scan> {
  const { code, stdout, stderr } = await new Deno.Command(PROGRAM, {
    args: ["scan", "--format", "ndjson", ...flags, image],
    stdin: "null",
    signal: AbortSignal.timeout(MAX_TIME_MS),
  }).output();
  const said = new TextDecoder().decode(stderr);
  assert.equal(code, 0, said);
  const all = new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
  const records = all.map((line) => JSON.parse(line));
  const lines = all.filter((_, index) => records[index].type === "IOUringEntry");
  return {
    lines,
    entries: records.filter((record) => record.type === "IOUringEntry"),
    start: records[0],
    end: records.at(-1),
  };
}

function none(differences: Difference[]): void {
  const shown = differences.slice(0, 40).map(differenceText);
  assert.equal(differences.length, 0, ["the scan differs from the guest:", ...shown].join("\n"));
}

/** The lines are the same; else shows where the first two part. */
function same(lines: string[], expected: string[], what: string): void {
  assert.equal(lines.length, expected.length, `${what}: number of entries`);
  for (const [index, line] of lines.entries()) {
    const other = expected[index]!;
    if (line === other) continue;
    let at = 0;
    while (line[at] === other[at]) at++;
    const near = (text: string) => text.slice(Math.max(at - 80, 0), at + 80);
    assert.fail(`${what}: line ${index + 1}: ${near(line)} is not ${near(other)}`);
  }
}

/** Taken off every list, and put into a message: not both in one process. */
const HIDDEN_TASK = "d_network";
const PARKED_RING = "cqsize";

/**
 * Copies a guest's memory. A process is taken off the task list and the table of pids; a ring takes
 * the place of the file that waits in a unix socket.
 */
async function hide(dump: string, path: string) {
  using edited = await EditedDump.copy(dump, path);
  const { program } = edited;
  const task = taskNamed(edited, HIDDEN_TASK);
  const parked = taskNamed(edited, "parked");
  const [message] = filesOf(parked).flatMap((file) => {
    const sock = sockOf(file);
    return sock === undefined ? [] : [...parkedFiles(sock)].map((waiting) => ({ sock, waiting }));
  });
  assert.deepEqual(describeFile(message!.waiting), { kind: "file", path: "/etc/passwd" });
  const skb = program.object("sk_buff", message!.sock.pointer("sk_receive_queue.next"));
  const files = program.object("unix_skb_parms", skb.addressOf("cb")).deref("fp").addressOf("fp");
  const operations = program.symbols.lookup("io_uring_fops");
  const rings = filesOf(taskNamed(edited, "kinds"))
    .filter((file) => file.pointer("f_op") === operations);
  const ring = rings.at(-1)!;
  edited.writeWord(files, ring.address);
  unlinkTask(edited, task);
  takePid(edited, task);
  return { task: HIDDEN_TASK, pid: task.number("tgid"), parked: parked.number("tgid") };
}

/** Open files of a process of the workload. */
function filesOf(task: KernelObject): KernelObject[] {
  return Array.from({ length: 64 }, (_, fd) => fileOfFd(task, fd))
    .filter((file) => file !== undefined);
}

for (const kernel of KERNELS) {
  for (const paging of [5, 4] as const) {
    // Debian builds 5.10 without 5-level paging.
    if (kernel === "5.10" && paging === 5) continue;
    const options: LabOptions = { kernel, paging };
    const name = `${kernel}, ${paging}-level`;

    await labTest(
      `scan of ${name} finds what the workload made`,
      () => labDump(options),
      async ({ elf, truth }) => {
        assert.deepEqual(truth.errors, []);
        const { entries, start, end } = await scan(elf);
        none(compareEntries(entries, truth));
        none(compareFdInfo(entries, truth.fdinfo));
        assert.ok(truth.version.includes(` ${start.host?.kernel} `), `${start.host?.kernel}`);
        const there = truth.rings.filter(({ gone }) => gone !== true);
        assert.deepEqual(end.totals, { entries: there.length });
        assert.equal(end.complete, true);
      },
    );

    if (paging === 4) {
      await labTest(
        `deep scan of ${name} finds rings that are gone, and says nothing else of the others`,
        () => labDump(options),
        async ({ elf, truth }) => {
          const { entries, end } = await scan(elf, "--deep");
          none(compareEntries(entries, truth, { deep: true }));
          assert.equal(end.complete, true);
          assert.equal(end.diagnostics, undefined);
          const { lines } = await scan(elf);
          const certain = entries.filter(({ confidence }) => confidence === "certain");
          same(certain.map((entry) => JSON.stringify(entry)), lines, "rings that tasks lead to");
        },
      );

      await labTest(
        `deep scan of ${name} finds what was hidden by changing its memory`,
        () => labDump(options),
        async ({ elf, truth }) => {
          const folder = await Deno.makeTempDir({ prefix: "iouring_hidden_" });
          try {
            const path = `${folder}/guest.elf`;
            const { task, pid, parked } = await hide(elf, path);
            const plain = await scan(path);
            assert.equal(plain.entries.find((entry) => entry.pid === pid), undefined);
            assert.equal(plain.end.diagnostics, undefined);

            const { entries, end } = await scan(path, "--deep");
            const message = `process ${pid} "${task}" is not on the task list, but in memory`;
            assert.deepEqual(end.diagnostics, [{ code: "process_hidden", message }]);
            assert.equal(end.complete, true);
            const found = entries.find((entry) => entry.found_by?.includes("unix"));
            const owner = { pid: parked, comm: "parked", fd: -1 };
            assert.ok(found?.owners?.some((one) => JSON.stringify(one) === JSON.stringify(owner)));
            // All else is as the guest said.
            const ring = truth.rings.find(({ name }) => name === PARKED_RING);
            const owners = [...ring?.expect.owners as unknown[], owner];
            none(compareEntries(entries, {
              ...truth,
              rings: truth.rings.map((one) =>
                one === ring ? { ...one, expect: { ...one.expect, owners } } : one
              ),
            }, { deep: true }));
          } finally {
            await Deno.remove(folder, { recursive: true });
          }
        },
      );

      await labTest(
        `deep scan of ${name} finds nothing in an idle guest`,
        () => labDump({ ...options, idle: true }),
        async ({ elf }) => {
          const { entries, end } = await scan(elf, "--deep");
          assert.deepEqual(entries, []);
          assert.equal(end.complete, true);
          assert.equal(end.diagnostics, undefined);
        },
      );
    }

    await labTest(
      `scan of ${name} is the same for ELF, ELF with paging, raw and a slice`,
      () => labDump(options),
      async (dump) => {
        const { lines } = await scan(dump.elf);
        for (const image of [dump.paging, dump.raw]) {
          const other = await scan(image);
          same(other.lines, lines, image);
          assert.equal(other.end.complete, true);
          assert.equal(other.end.diagnostics, undefined);
        }
        const dir = await Deno.makeTempDir();
        try {
          const sliced = await scan(dump.elf, "--slice", `${dir}/slice.elf`);
          same(sliced.lines, lines, "while slicing");
          same((await scan(`${dir}/slice.elf`)).lines, lines, "slice");
        } finally {
          await Deno.remove(dir, { recursive: true });
        }
      },
    );
  }
}

await labTest(
  "scan of an ELF with a VMCOREINFO note finds what the workload made",
  () => labDump({ kernel: "6.1", vmcoreinfo: true }),
  async ({ elf, truth }) => none(compareEntries((await scan(elf)).entries, truth)),
);

await labTest(
  "scan of a guest paused in user mode under page table isolation finds what the workload made",
  () => labDump({ kernel: "6.12", paging: 4, append: "pti=on lab.spin" }),
  async ({ elf, raw, truth }) => {
    const { entries, lines } = await scan(elf);
    none(compareEntries(entries, truth));
    same((await scan(raw)).lines, lines, "raw");
  },
);

await labTest(
  "scan of 5 GiB with the PCI hole kept and squeezed finds what the workload made",
  () => labSparse({ kernel: "6.1", paging: 4, memory: 5120 }),
  async ({ padded, squeezed, truth }) => {
    const { entries, lines } = await scan(padded);
    none(compareEntries(entries, truth));
    same((await scan(squeezed)).lines, lines, "squeezed");
  },
);

await labTest(
  "scan of a smeared image says only what one of its moments says, or that it could not tell",
  () => labSmear({ kernel: "6.12" }),
  async ({ first, second, smeared }) => {
    const moments = [(await scan(first)).entries, (await scan(second)).entries];
    const { entries } = await scan(smeared);
    assert.ok(entries.length > 0);
    for (const entry of entries) {
      if ((entry.diagnostics ?? []).length > 0) continue;
      const then = moments.flat().filter((other) => other.ctx_addr === entry.ctx_addr);
      const { pid, comm, sq_entries, cq_entries } = entry;
      const known = then.some((other) =>
        other.pid === pid && other.comm === comm && other.sq_entries === sq_entries &&
        other.cq_entries === cq_entries
      );
      assert.ok(known, `no moment has ${JSON.stringify(entry).slice(0, 300)}`);
    }
  },
);
