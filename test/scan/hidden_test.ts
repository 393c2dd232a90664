/** Takes processes off the lists of real kernels, and scans: they are found, and said to be hidden. */
import assert from "node:assert/strict";
import type { IOUringEntry, IOUringStatus } from "../../lib/record/records.ts";
import { scanImage, type ScanOptions } from "../../lib/scan/scan_image.ts";
import { imageFixtures } from "../fixtures.ts";
import { takePid, taskNamed, unlinkTask } from "./hide_task.ts";
import { PatchedImage } from "./patched_image.ts";

const HIDDEN = "d_network";

function scan(image: PatchedImage, options: Partial<ScanOptions> = {}) {
  const tool = { version: "0", build: "test" };
  const records = [...scanImage(image.image, { now: () => 0, tool, argv: [], ...options })].flat();
  return {
    entries: records.filter((record): record is IOUringEntry => record.type === "IOUringEntry"),
    end: records.at(-1) as IOUringStatus,
  };
}

function hiddenOf({ diagnostics }: { diagnostics?: IOUringStatus["diagnostics"] }): string[] {
  return (diagnostics ?? []).filter(({ code }) => code === "process_hidden")
    .map(({ message }) => message);
}

for (const fixture of imageFixtures().filter((name) => !name.includes("bare"))) {
  Deno.test(`scan of ${fixture} finds a process that was taken off the task list`, () => {
    const image = new PatchedImage(fixture);
    const task = taskNamed(image, HIDDEN);
    const pid = task.number("pid");
    const before = scan(image);
    assert.deepEqual(hiddenOf(before.end), []);
    unlinkTask(image, task);

    const { entries, end } = scan(image);
    const message = `process ${pid} "${HIDDEN}" is not on the task list, but in the table of pids`;
    assert.deepEqual(hiddenOf(end), [message]);
    assert.equal(end.complete, true);
    const ring = entries.find((entry) => entry.pid === pid);
    assert.deepEqual(hiddenOf(ring ?? {}), [message]);
    const own = before.entries.find((entry) => entry.pid === pid);
    assert.deepEqual({ ...ring, diagnostics: undefined }, { ...own, diagnostics: undefined });
    assert.equal(entries.length, before.entries.length);
  });

  // A search in TypeScript takes its time: two kernels stand for all.
  if (!/^(5\.10|6\.12)-4level/.test(fixture)) continue;
  Deno.test(`deep scan of ${fixture} finds a process that was taken off every list`, () => {
    const image = new PatchedImage(fixture);
    const task = taskNamed(image, HIDDEN);
    const pid = task.number("pid");
    const before = scan(image, { deep: true });
    assert.deepEqual(hiddenOf(before.end), []);
    unlinkTask(image, task);
    takePid(image, task);
    assert.equal(scan(image).entries.find((entry) => entry.pid === pid), undefined);

    const { entries, end } = scan(image, { deep: true });
    const message = `process ${pid} "${HIDDEN}" is not on the task list, but in memory`;
    assert.deepEqual(hiddenOf(end), [message]);
    assert.deepEqual(hiddenOf(entries.find((entry) => entry.pid === pid) ?? {}), [message]);
    assert.equal(entries.length, before.entries.length);
  });
}

Deno.test("deep scan takes a copy of a task that is gone for no process", () => {
  const image = new PatchedImage("6.12-4level.elf");
  const task = taskNamed(image, HIDDEN);
  // The copy takes the place of a task without rings that is on no list.
  const copy = taskNamed(image, "kthreadd");
  for (const gone of [task, copy]) {
    unlinkTask(image, gone);
    takePid(image, gone);
  }
  assert.equal(hiddenOf(scan(image, { deep: true }).end).length, 2);
  for (const member of ["pid", "children", "group_leader", "thread_pid", "signal", "comm"]) {
    const address = task.addressOf(member);
    // A pid and that of its group, the ends of a list, a pointer, a name.
    const bytes = image.program.memory.read(address, member === "children" ? 16 : 8);
    image.write(copy.addressOf(member), bytes);
  }
  assert.equal(hiddenOf(scan(image, { deep: true }).end).length, 1);
});

Deno.test("deep scan takes what a failed fork leaves for no process", () => {
  const image = new PatchedImage("6.12-4level.elf");
  const { program } = image;
  const parent = taskNamed(image, HIDDEN);
  // The copy takes the place of a task without rings that is on no list.
  const copy = taskNamed(image, "kthreadd");
  unlinkTask(image, copy);
  takePid(image, copy);
  assert.equal(hiddenOf(scan(image, { deep: true }).end).length, 1);
  for (const member of ["pid", "group_leader", "thread_pid", "signal", "comm"]) {
    // As much as fits all of them: the pid and the group's own (tgid), a pointer, half a name.
    const bytes = program.memory.read(parent.addressOf(member), 8);
    image.write(copy.addressOf(member), bytes);
  }
  assert.deepEqual(hiddenOf(scan(image, { deep: true }).end), []);
});

Deno.test("scan says that it cannot look for hidden processes where the table of pids is broken", () => {
  const image = new PatchedImage("6.12-4level.elf");
  const { program } = image;
  assert.deepEqual(scan(image).end.diagnostics, undefined);
  const pids = program.variable("init_pid_ns", "pid_namespace")!.embedded("idr.idr_rt");
  image.writeWord(pids.addressOf("xa_head"), 0xffffc90000000002n);
  const { end } = scan(image);
  assert.equal(end.complete, false);
  assert.deepEqual(end.diagnostics?.map(({ code, hides }) => [code, hides]), [
    ["pid_table_unreadable", "processes that are on no list of tasks"],
  ]);
});
