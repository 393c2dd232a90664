/**
 * Scans one guest's memory in every format with `dist/iouring`: the entries are the same, byte for
 * byte. What QEMU and makedumpfile can write, they write; the rest is made from the raw image.
 *
 * `IOURING_LAB_KERNELS=5.10,6.12,backports deno task test test/vm/formats_test.ts` does so with
 * guests of other kernels.
 */
import assert from "node:assert/strict";
import { writeAvml, writeKdump, writeLime, writePadded } from "../memory/write_formats.ts";
import { writeDeflated, writeSnapshot, writeVmcore, writeVmware } from "../memory/write_formats.ts";
import type { IOUringStatus } from "../../lib/record/records.ts";
import { PROGRAM } from "../paths.ts";
import { compareEntries, differenceText } from "./compare.ts";
import { GuestMemory } from "./formats.ts";
import { kernelsToTest } from "./kernels.ts";
import { labFormats, labLime, labSparse } from "./lab.ts";
import { labTest } from "./lab_case.ts";

const KERNELS = kernelsToTest("6.1");

/** Lines of the entries, and the records around them. */
interface Scan {
  readonly entries: string;
  readonly start: IOUringStatus;
  readonly end: IOUringStatus;
}

async function scan(image: string, ...flags: string[]): Promise<Scan> {
  const { code, stdout, stderr } = await new Deno.Command(PROGRAM, {
    args: ["scan", ...flags, "--format", "ndjson", image],
    stdin: "null",
    signal: AbortSignal.timeout(600_000),
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
  return {
    entries: lines.slice(1, -1).join("\n"),
    start: JSON.parse(lines[0]!),
    end: JSON.parse(lines.at(-1)!),
  };
}

function imageOf({ start }: Scan): Record<string, unknown> {
  return (start.coverage as { image: Record<string, unknown> }).image;
}

/** Runs makedumpfile, with `input` as its standard input; false where this machine has none. */
async function makedumpfile(
  { args, input = "/dev/null" }: { args: string[]; input?: string },
): Promise<boolean> {
  const quiet = ["makedumpfile", "--message-level", "4", ...args];
  const { code, stderr } = await new Deno.Command("sh", {
    args: [
      "-c",
      `command -v makedumpfile > /dev/null || exit 127; exec "$@" < "$0"`,
      input,
      ...quiet,
    ],
  }).output();
  if (code === 127) return false;
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return true;
}

/** How an image is made in a folder, and what coverage says of it. */
interface Format {
  readonly name: string;
  readonly coverage: Record<string, unknown>;
  /** False where the machine cannot. */
  make(path: string, guest: GuestMemory): void | Promise<void | boolean>;
}

const FORMATS: readonly Format[] = [
  { name: "padded", coverage: { format: "raw" }, make: (path, guest) => writePadded(path, guest) },
  { name: "lime", coverage: { format: "lime" }, make: (path, guest) => writeLime(path, guest) },
  {
    name: "lime.zlib",
    coverage: { format: "lime", wrapping: ["zlib"] },
    async make(path, guest) {
      writeLime(`${path}.plain`, guest);
      await writeDeflated(path, `${path}.plain`);
      await Deno.remove(`${path}.plain`);
    },
  },
  {
    name: "avml",
    coverage: { format: "lime", layout: "elided" },
    make: (path, guest) => writeAvml(path, guest, false),
  },
  {
    name: "avml.compressed",
    coverage: { format: "avml", layout: "elided" },
    make: (path, guest) => writeAvml(path, guest, true),
  },
  ...(["none", "snappy", "zstd"] as const).map((codec): Format => ({
    name: `kdump.${codec}`,
    coverage: { format: "kdump" },
    make: (path, guest) => writeKdump(path, guest, codec),
  })),
  {
    name: "guest.vmem",
    coverage: { format: "vmware" },
    make: (path, guest) => writeVmware(path, guest),
  },
  {
    name: "guest.vmsn",
    coverage: { format: "vmware" },
    make: (path, guest) => writeSnapshot(path, guest),
  },
  { name: "vmcore", coverage: { format: "elf" }, make: (path, guest) => writeVmcore(path, guest) },
  ...([["-c", "0"], ["-c", "1"], ["-l", "0"], ["-l", "1"]] as const).map((
    [compression, level],
  ): Format => ({
    name: `makedumpfile${compression}${level}`,
    coverage: { format: "kdump" },
    make: (path) =>
      makedumpfile({
        args: [compression, "-d", level, `${path.replace(/[^/]*$/, "")}vmcore`, path],
      }),
  })),
];

for (const kernel of KERNELS) {
  await labTest(
    `every format of one guest of ${kernel} gives the same entries`,
    () => labFormats({ kernel }),
    async (dump, t) => {
      const expected = await scan(dump.raw);
      assert.ok(expected.entries.length > 10_000);
      const check = async (path: string, coverage: Record<string, unknown>) => {
        const found = await scan(path);
        const { path: _path, size: _size, ...image } = imageOf(found);
        assert.deepEqual(image, coverage);
        assert.ok(found.entries === expected.entries, "the entries differ");
        assert.deepEqual(found.end.diagnostics, expected.end.diagnostics);
      };
      await t.step("QEMU, ELF", () => check(dump.elf, { format: "elf" }));
      const folder = await Deno.makeTempDir({ prefix: "iouring_formats_" });
      try {
        for (const [compression, path] of Object.entries(dump.kdump)) {
          await t.step(`QEMU, kdump ${compression}, flattened`, async () => {
            await check(path, { format: "kdump", wrapping: ["flattened"] });
          });
          // As QEMU 8.2 writes `kdump-raw-*`: the same file, as it is.
          const plain = `${folder}/kdump-raw-${compression}`;
          const isMade = await makedumpfile({ args: ["-R", plain], input: path });
          await t.step({
            name: `QEMU, kdump ${compression}, rearranged`,
            ignore: !isMade,
            fn: () => check(plain, { format: "kdump" }),
          });
          await Deno.remove(plain).catch(() => {});
        }
        using guest = new GuestMemory(dump.raw);
        for (const { name, coverage, make } of FORMATS) {
          const path = `${folder}/${name}`;
          const isMade = await make(path, guest) !== false;
          await t.step({
            name: isMade ? name : `${name} (makedumpfile here cannot write it)`,
            ignore: !isMade,
            fn: () => check(path, coverage),
          });
          if (name !== "vmcore") await Deno.remove(path).catch(() => {});
        }
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  );
}

await labTest(
  "LiME's own module writes a guest that runs on: the entries are those of QEMU's dump after it",
  () => labLime({ kernel: "6.1" }),
  async (dump) => {
    const expected = await scan(dump.elf);
    const found = await scan(dump.lime);
    assert.deepEqual([imageOf(found).format, imageOf(found).layout], ["lime", undefined]);
    assert.deepEqual([found.end.complete, found.end.diagnostics], [true, undefined]);
    const entries = found.entries.split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(compareEntries(entries, dump.truth).map(differenceText), []);
    assert.ok(found.entries === expected.entries, "the entries differ");
    // The page cache has copies of what was written, tasks and rings that are gone among them.
    const deep = await scan(dump.elf, "--deep");
    assert.deepEqual([deep.end.complete, deep.end.diagnostics], [true, undefined]);
    for (const line of deep.entries.split("\n")) {
      const { ctx_addr } = JSON.parse(line);
      assert.equal(BigInt(ctx_addr) % 2048n, 0n, `the allocator puts no ring at ${ctx_addr}`);
    }
  },
);

await labTest(
  "a large guest's .vmem with its state gives the entries of the raw image",
  () => labSparse({ kernel: "6.1", paging: 4, memory: 5120 }),
  async (dump) => {
    const expected = await scan(dump.padded);
    const folder = await Deno.makeTempDir({ prefix: "iouring_formats_" });
    try {
      using guest = new GuestMemory(dump.padded);
      writeVmware(`${folder}/guest.vmem`, guest);
      const found = await scan(`${folder}/guest.vmem`);
      assert.equal(imageOf(found).format, "vmware");
      assert.ok(found.entries === expected.entries, "the entries differ");
      await Deno.remove(`${folder}/guest.vmss`);
      const alone = await scan(`${folder}/guest.vmem`);
      assert.deepEqual([imageOf(alone).format, imageOf(alone).layout], ["raw", "squeezed"]);
      assert.ok(alone.entries === expected.entries, "the entries differ");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
