/** Damages the symbols and types that real kernels carry: a scan says what it lost, and no more. */
import assert from "node:assert/strict";
import { ImageError } from "../../lib/memory/image_error.ts";
import type { IOUringStatus } from "../../lib/record/records.ts";
import { scanImage } from "../../lib/scan/scan_image.ts";
import { damageBtf, ownBtf, ownNames } from "./own_tables.ts";
import { PatchedImage } from "./patched_image.ts";

function scan(image: PatchedImage) {
  const tool = { version: "0", build: "test" };
  const records = [...scanImage(image.image, { now: () => 0, tool, argv: [] })].flat();
  const start = records[0] as IOUringStatus;
  const end = records.at(-1) as IOUringStatus;
  const codes = (end.diagnostics ?? []).map(({ code }) => code);
  return { lines: records.slice(1, -1).map((record) => JSON.stringify(record)), start, end, codes };
}

const ringsOf = (lines: readonly string[]) => lines.map((line) => JSON.parse(line).ctx_addr);

for (const fixture of ["6.1-la57.elf", "7.x-4level.elf"]) {
  const expected = scan(new PatchedImage(fixture)).lines;
  assert.ok(expected.length > 50);

  Deno.test(`scan of ${fixture} with a damaged name in kallsyms`, () => {
    const image = new PatchedImage(fixture);
    const names = ownNames(image);
    const indexOf = (symbol: string) => names.findIndex(({ text }) => text.slice(1) === symbol);
    // What a kernel is found by and a ring's file is known by, with the 255 names around each.
    const symbols = ["_stext", "linux_banner", "__start_BTF", "init_task", "io_uring_fops"];
    for (const index of [...symbols.map(indexOf), 10_000, 40_000]) {
      const { at, text } = names[index]!;
      const before = image.program.memory.read(at, 1).slice();
      image.write(at, Uint8Array.of(before[0]! ^ 3));
      const { lines, end, codes } = scan(image);
      assert.equal(end.complete, false);
      assert.equal(codes[0], "symbols_damaged", text);
      assert.deepEqual(ringsOf(lines), ringsOf(expected), text);
      if (!symbols.includes(text.slice(1))) assert.ok(lines.join() === expected.join(), text);
      image.write(at, before);
    }
  });

  Deno.test(`scan of ${fixture} with a damaged type in BTF`, () => {
    const image = new PatchedImage(fixture);
    const btf = ownBtf(image);
    let state = 7;
    const random = (end: number) => (state = state * 48271 % 0x7fffffff) % end;
    const typeLength = new DataView(btf.buffer).getUint32(12, true);
    let same = 0;
    for (let round = 0; round < 8; round++) {
      const at = 24 + 4 * random(typeLength / 4 - 16);
      damageBtf(image, at, new Uint8Array(64).fill(0xff));
      try {
        const { lines, end, codes } = scan(image);
        // Values of an enum may be anything: nobody can tell that one is damaged.
        assert.ok(lines.join() === expected.join(), `other lines, damage at ${at}`);
        assert.equal(end.complete, !codes.includes("types_damaged"));
        same++;
      } catch (error) {
        assert.ok(error instanceof ImageError, String(error));
        assert.match(
          error.message,
          /is lost, as its BTF is damaged \(--btf or --isf gives the types\)$/,
        );
      }
      damageBtf(image, at, btf.subarray(at, at + 64));
    }
    // Most types are not those of io_uring.
    assert.ok(same >= 5, `${same} of 8 scans found what the whole image has`);
  });

  Deno.test(`scan of ${fixture} with a damaged header of BTF`, () => {
    const image = new PatchedImage(fixture);
    damageBtf(image, 0, Uint8Array.of(0, 0, 0, 0));
    damageBtf(image, 12, Uint8Array.of(1));
    assert.ok(scan(image).lines.join() === expected.join());
  });
}
