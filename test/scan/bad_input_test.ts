/**
 * Runs `dist/iouring scan` on what is no image, or a damaged one: one clear line and exit code 1, or
 * what could be read and `"complete": false`. Never a stack trace, a hang, or much memory.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { listProcesses } from "../../lib/scan/tasks.ts";
import { Clock } from "../../lib/scan/clock.ts";
import { Diagnostics } from "../../lib/scan/diagnostics.ts";
import { findRings } from "../../lib/scan/find_rings.ts";
import type { IOUringEntry, IOUringStatus, StreamRecord } from "../../lib/record/records.ts";
import type { JsonObject } from "../../lib/uapi/json_value.ts";
import { unpackFixture } from "../fixtures.ts";
import { buildElf, type FakeElfHeader, type FakeSegment, pattern } from "../memory/fake_elf.ts";
import { PROGRAM } from "../paths.ts";
import { checkRecord, Random } from "./mutations.ts";
import { PatchedImage, someFixture } from "./patched_image.ts";

/** Of the processor, whatever else runs on the machine: then the kernel ends it, by a signal. */
const MAX_CPU_S = 60;
const MAX_MEMORY = 2 ** 30;

interface Outcome {
  readonly code: number;
  readonly stderr: string;
  readonly records: StreamRecord[];
}

/** Most memory of a process beside the files that it has mapped, in bytes; 0 once it has ended. */
function memoryOf(pid: number): number {
  return Number(/^RssAnon:\s*(\d+) kB/m.exec(statusOf(pid))?.[1] ?? 0) * 1024;
}

function statusOf(pid: number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/status`);
  } catch {
    return "";
  }
}

/** Runs a scan, and holds it to what every run has to keep to. */
async function scan(
  args: readonly string[],
  during?: (pid: number) => Promise<void>,
): Promise<Outcome> {
  const child = new Deno.Command("prlimit", {
    args: [`--cpu=${MAX_CPU_S}`, PROGRAM, "scan", "--format", "ndjson", ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let most = 0;
  const watch = setInterval(() => most = Math.max(most, memoryOf(child.pid)), 20);
  const [output] = await Promise.all([child.output(), during?.(child.pid)]);
  clearInterval(watch);
  const stderr = new TextDecoder().decode(output.stderr);
  assert.ok(most < MAX_MEMORY, `it took ${most} bytes`);
  assert.equal(output.signal, null, stderr);
  assert.doesNotMatch(stderr, /Internal error|\bat .*:\d+:\d+|panic/i);
  const lines = new TextDecoder().decode(output.stdout).split("\n").filter((line) => line !== "");
  const records = lines.map((line) => JSON.parse(line) as StreamRecord);
  for (const record of records) checkRecord(record);
  return { code: output.code, stderr, records };
}

/** Writes a file, scans it, and removes it. */
async function scanBytes(bytes: Uint8Array): Promise<Outcome> {
  const path = await Deno.makeTempFile({ prefix: "iouring_test_" });
  try {
    await Deno.writeFile(path, bytes);
    return await scan([path]);
  } finally {
    await Deno.remove(path);
  }
}

/** One line on standard error that says what is wrong, and nothing else. */
function assertRefused({ code, stderr, records }: Outcome, message: RegExp): void {
  assert.match(stderr, message);
  assert.match(stderr, /^[A-Z][^\n]*[^.\n]\n$/);
  assert.equal(code, 1);
  assert.deepEqual(records, []);
}

/** All that could be read, and a word on what could not. */
function assertIncomplete({ code, stderr, records }: Outcome): {
  entries: IOUringEntry[];
  end: IOUringStatus;
} {
  assert.equal(code, 0, stderr);
  assert.match(stderr, /incomplete/);
  const end = records.at(-1) as IOUringStatus;
  assert.equal(end.phase, "end");
  assert.equal(end.complete, false);
  assert.ok(end.diagnostics!.length > 0);
  const entries = records.filter((record) => record.type === "IOUringEntry") as IOUringEntry[];
  assert.equal(end.totals!["entries"], entries.length);
  return { entries, end };
}

function codesOf({ diagnostics = [] }: IOUringStatus | IOUringEntry): string[] {
  return diagnostics.map(({ code }) => code);
}

/** Random bytes, the same each time. */
function randomBytes(length: number): Uint8Array {
  const random = new Random(length);
  return Uint8Array.from({ length }, () => random.below(256));
}

Deno.test("scan refuses what is no image, in one line", async () => {
  const text = new TextEncoder().encode("This is a text about memory images.\n");
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(), /is empty/],
    [new Uint8Array(1), /1 bytes are too few/],
    [text, /36 bytes are too few for a memory image, which has at least 1048576\n$/],
    [randomBytes(2 * 1024 * 1024), /^Cannot find a Linux kernel in ".*": looked for VMCOREINFO/],
    [new Uint8Array(2 * 1024 * 1024), /^Cannot find a Linux kernel/],
    [new TextEncoder().encode("text ".repeat(500_000)), /^Cannot find a Linux kernel/],
  ];
  for (const [bytes, message] of cases) assertRefused(await scanBytes(bytes), message);
});

Deno.test("scan refuses what it cannot open, in one line", async () => {
  assertRefused(await scan(["/no/such/file"]), /no such file/);
  assertRefused(await scan([await Deno.realPath(".")]), /is a directory/);
  assertRefused(await scan(["/dev/null"]), /is a character device/);
});

Deno.test("scan refuses a flag that it does not know with exit code 2", async () => {
  const { code, stderr, records } = await scan(["--slize", "x", "image"]);
  assert.equal(code, 2);
  assert.match(stderr, /--slize/);
  assert.deepEqual(records, []);
});

Deno.test("scan refuses ELF files that are no x86-64 core, in one line", async () => {
  const load: FakeSegment = { address: 0x1000, bytes: pattern(0x2000, 1) };
  const cases: [FakeElfHeader, readonly FakeSegment[], RegExp][] = [
    [{ class: 1 }, [load], /32-bit/],
    [{ machine: 183 }, [load], /AArch64/],
    [{ endianness: 2 }, [load], /big-endian/],
    [{ type: 2 }, [load], /an executable/],
    [{ count: 0 }, [load], /no program headers/],
    [{ count: 60_000 }, [load], /60000 ELF program headers at 64 end outside/],
    [{}, [{ ...load, offset: 2n ** 60n }], /none of its 1 program headers/],
    [{}, [{ ...load, address: 2n ** 63n }], /none of its 1 program headers/],
    [{}, [{ ...load, fileSize: 2n ** 63n }], /^Cannot find a Linux kernel/],
    [{}, [load, { ...load, bytes: pattern(0x2000, 2) }], /^Cannot find a Linux kernel/],
  ];
  for (const [header, segments, message] of cases) {
    assertRefused(await scanBytes(buildElf(segments, header)), message);
  }
});

Deno.test("scan of an image that is cut anywhere says so", async () => {
  const whole = readFileSync(unpackFixture(someFixture()));
  const headers = new DataView(whole.buffer, whole.byteOffset).getUint16(56, true);
  const tableEnd = 64 + headers * 56;
  const random = new Random(5);
  const lengths = [
    ...[3, 4, 5, 16, 63, 64, 65, 64 + 28, 64 + 56, tableEnd - 1, tableEnd, tableEnd + 100],
    ...[0.1, 0.5, 0.8, 0.9, 0.99].map((part) => Math.floor(whole.length * part)),
    ...Array.from({ length: 6 }, () => random.below(whole.length)),
    whole.length - 4096,
    whole.length - 1,
  ];
  for (const length of lengths) {
    const outcome = await scanBytes(whole.subarray(0, length));
    if (outcome.code === 1) {
      assertRefused(outcome, /^Cannot (read|find a Linux kernel in) /);
    } else {
      const { end } = assertIncomplete(outcome);
      assert.ok(codesOf(end).includes("image_damaged"), `cut at ${length}`);
    }
  }
});

Deno.test("scan names the types that it did not find in an image", async () => {
  const patched = new PatchedImage(someFixture());
  const { program } = patched;
  const start = program.symbols.lookup("__start_BTF")!;
  const size = Number(program.symbols.lookup("__stop_BTF")! - start);
  const btf = program.memory.read(start, size).slice();
  patched.write(start, new Uint8Array(size));
  assertRefused(await scanBytes(patched.bytes), /its BTF cannot be read: not a BTF header/);
  const cut = btf.slice();
  cut.fill(0xff, 1_000_000);
  patched.write(start, cut);
  assertRefused(await scanBytes(patched.bytes), /its BTF cannot be read/);
});

Deno.test("scan says that the symbols it found cannot be read", async () => {
  const patched = new PatchedImage(someFixture());
  const text = new TextDecoder("latin1").decode(patched.bytes);
  // The addresses of VMCOREINFO lead nowhere, and the tokens are gone too.
  for (const name of ["kallsyms_names", "kallsyms_num_syms", "_stext"]) {
    const at = text.indexOf(`SYMBOL(${name})=`);
    if (at > 0) patched.bytes.fill(0x58, at, at + 7 + name.length);
  }
  const tokens = text.indexOf([..."0123456789"].map((digit) => `${digit}\0`).join(""));
  patched.bytes.fill(0, tokens, tokens + 20);
  assertRefused(await scanBytes(patched.bytes), /^Cannot find a Linux kernel in ".*": /);
});

Deno.test("scan of a task list that loops gives what both ends lead to", async () => {
  const patched = new PatchedImage(someFixture());
  const whole = await scanBytes(patched.bytes);
  const init = patched.program.variable("init_task", "task_struct")!;
  let task = init.addressOf("tasks");
  for (let i = 0; i < 20; i++) task = patched.program.memory.readPointer(task);
  const next = patched.program.memory.readPointer(task);
  patched.writeWord(task, patched.program.memory.readPointer(task + 8n));
  const { entries, end } = assertIncomplete(await scanBytes(patched.bytes));
  assert.ok(codesOf(end).includes("task_list_broken"));
  // Nothing lies between the two ends.
  assert.equal(entries.length, whole.records.length - 2);

  patched.writeWord(next + 8n, next);
  patched.writeWord(task, 0x1234n);
  const less = assertIncomplete(await scanBytes(patched.bytes));
  assert.ok(codesOf(less.end).includes("task_list_broken"));
  assert.ok(less.entries.length <= entries.length);
});

Deno.test("scan of page tables that loop ends", async () => {
  const patched = new PatchedImage(someFixture());
  const { root } = patched.program.memory.pageTable;
  const top = patched.memory.read(root, 4096)!;
  const view = new DataView(top.buffer, top.byteOffset, 4096);
  // All of the kernel's half but the image: tasks and rings lie elsewhere, in the tables themselves.
  for (let i = 256; i < 511; i++) view.setBigUint64(i * 8, BigInt(root) | 0x67n, true);
  const outcome = await scanBytes(patched.bytes);
  if (outcome.code !== 1) assertIncomplete(outcome);
  // The image's too: then there is no kernel, unless by the tables of another process.
  view.setBigUint64(511 * 8, BigInt(root) | 0x67n, true);
  const blind = await scanBytes(patched.bytes);
  if (blind.code === 1) return assertRefused(blind, /^Cannot find a Linux kernel/);
  const { page_tables } = (blind.records[0] as IOUringStatus).coverage as JsonObject;
  assert.equal((page_tables as JsonObject)["found_by"], "swapper");
});

Deno.test("scan of rings with absurd sizes says so in each", async () => {
  const patched = new PatchedImage(someFixture());
  const { program } = patched;
  const context = { program, clock: new Clock(), diagnostics: new Diagnostics() };
  const rings = findRings(context, listProcesses(context));
  const sizes = [0xffffffff, 0, 3, 1 << 31, 65536];
  rings.forEach(({ ctx }, i) => {
    const size = new Uint8Array(new Uint32Array([sizes[i % sizes.length]!]).buffer);
    patched.write(ctx.addressOf("sq_entries"), size);
    if (i % 2 === 0) patched.write(ctx.addressOf("cq_entries"), size);
  });
  const { entries } = assertIncomplete(await scanBytes(patched.bytes));
  assert.equal(entries.length, rings.length);
  for (const entry of entries) {
    assert.ok(codesOf(entry).includes("ring_sizes_absurd"));
    // What the kernel keeps apart from the queues is there still.
    for (const { source } of entry.history!) assert.deepEqual(source, ["kiocb"]);
  }
});

/** Whether a process has not ended yet. */
function isReading(pid: number): boolean {
  return statusOf(pid).includes("VmSize:");
}

/** Bytes of a file that a process has touched in its map of it. */
function residentOf(pid: number, path: string): number {
  try {
    const [, map] = Deno.readTextFileSync(`/proc/${pid}/smaps`).split(path);
    return Number(/^Rss:\s*(\d+) kB/m.exec(map ?? "")?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** Lets other work have its turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

Deno.test("scan of a file that shrinks meanwhile tells of it, or of what it did not find", async () => {
  const whole = readFileSync(unpackFixture(someFixture()));
  for (const part of [0, 0.001, 0.01, 0.1, 0.6, 0.9]) {
    const path = await Deno.makeTempFile({ prefix: "iouring_test_" });
    try {
      await Deno.writeFile(path, whole);
      const outcome = await scan([path], async (pid) => {
        while (isReading(pid) && residentOf(pid, path) < part * whole.length) await turn();
        await Deno.truncate(path, 8192);
      });
      if (outcome.code === 0) {
        const end = outcome.records.at(-1) as IOUringStatus;
        // It may have been read to its end by then.
        if (end.complete !== true) assert.ok(codesOf(end).includes("image_shrank"));
      } else {
        assertRefusedMidway(outcome);
      }
    } finally {
      await Deno.remove(path);
    }
  }
});

function assertRefusedMidway({ code, stderr }: Outcome): void {
  assert.equal(code, 1);
  assert.match(stderr, /^Cannot (read|find|open)[^\n]*\n$/);
}
