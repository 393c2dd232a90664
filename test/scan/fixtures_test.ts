/**
 * Scans the images of `fixtures/` with `dist/iouring` and compares with what the guests said of
 * themselves when the images were taken. Needs neither root nor QEMU.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { zstdDecompressSync } from "node:zlib";
import type { IOUringEntry, IOUringStatus } from "../../lib/record/records.ts";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { compareEntries, compareFdInfo, differenceText } from "../vm/compare.ts";
import type { LabTruth } from "../vm/truth.ts";
import { PROGRAM, ROOT } from "../paths.ts";

const KERNELS = ["6.1", "6.12", "7.x"];

interface Scan {
  readonly lines: string[];
  readonly entries: IOUringEntry[];
  readonly start: IOUringStatus;
  readonly end: IOUringStatus;
}

function scan(image: string): Scan {
  const { code, stdout, stderr } = new Deno.Command(PROGRAM, {
    args: ["scan", "--format", "ndjson", image],
  }).outputSync();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
  const records = lines.map((line) => JSON.parse(line));
  return {
    lines: lines.slice(1, -1),
    entries: records.slice(1, -1),
    start: records[0],
    end: records.at(-1),
  };
}

function truthOf(fixture: string): LabTruth {
  const packed = readFileSync(`${ROOT}fixtures/${fixture.replace(".elf", ".truth.json")}.zst`);
  return JSON.parse(new TextDecoder().decode(zstdDecompressSync(packed)));
}

Deno.test("fixtures/ has images of every kernel at both depths", () => {
  const names = imageFixtures().map((name) => name.replace(".elf", ""));
  for (const name of ["5.10-4level", ...KERNELS.flatMap((k) => [`${k}-4level`, `${k}-la57`])]) {
    assert.ok(names.includes(name), name);
  }
});

for (const fixture of imageFixtures()) {
  Deno.test(`scan of ${fixture} finds what the workload made`, () => {
    const truth = truthOf(fixture);
    const { entries, start, end } = scan(unpackFixture(fixture));
    const differences = [
      ...compareEntries(entries, truth),
      ...compareFdInfo(entries, truth.fdinfo),
    ];
    assert.deepEqual(differences.slice(0, 20).map(differenceText), []);
    assert.equal(end.complete, true);
    const { page_tables } = start.coverage as { page_tables: { found_by: string; levels: number } };
    assert.equal(page_tables.found_by, fixture.includes("bare") ? "swapper" : "vmcoreinfo_note");
    assert.equal(page_tables.levels, fixture.includes("la57") ? 5 : 4);
  });
}

Deno.test("scan of a slice as raw memory gives the same entries", () => {
  const fixture = "6.12-4level.elf";
  const slice = unpackFixture(fixture);
  const raw = Deno.makeTempFileSync({ suffix: ".raw" });
  try {
    writeRaw(slice, raw);
    const expected = scan(slice);
    const got = scan(raw);
    assert.deepEqual(got.lines, expected.lines);
    assert.equal((got.start.coverage?.image as { format: string }).format, "raw");
  } finally {
    Deno.removeSync(raw);
  }
});

/** Writes the segments of an ELF core to their physical addresses; the rest is a hole. */
function writeRaw(elf: string, raw: string): void {
  const bytes = readFileSync(elf);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  using file = Deno.openSync(raw, { write: true });
  const table = Number(view.getBigUint64(32, true));
  for (let i = 0; i < view.getUint16(56, true); i++) {
    const at = table + i * 56;
    if (view.getUint32(at, true) !== 1) continue;
    const offset = Number(view.getBigUint64(at + 8, true));
    const size = Number(view.getBigUint64(at + 32, true));
    file.seekSync(Number(view.getBigUint64(at + 24, true)), Deno.SeekMode.Start);
    file.writeSync(bytes.subarray(offset, offset + size));
  }
  file.truncateSync(512 * 2 ** 20);
}
