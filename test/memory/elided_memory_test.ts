import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ElidedMemory } from "../../lib/memory/elided_memory.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import { storedBytes } from "../../lib/memory/physical_memory.ts";
import { RangeMemory } from "../../lib/memory/range_memory.ts";
import { RecordingMemory } from "../../lib/memory/recording_memory.ts";
import { withFolder } from "../ffi/open_image.ts";
import { BufferImage } from "./buffer_image.ts";
import { type SourceMemory, writeAvml } from "./write_formats.ts";
import { searchOne } from "./search_one.ts";

Deno.test("ElidedMemory reads RAM that the image leaves out as zeros, and nothing else", () => {
  const bytes = new Uint8Array(0x3000).fill(9);
  const inner = new RangeMemory(new BufferImage(bytes), "lime", [
    { start: 0x1000, end: 0x2000, offset: 0 },
    { start: 0x4000, end: 0x6000, offset: 0x1000 },
  ]);
  const memory = new ElidedMemory(inner, [
    { start: 0x1000, end: 0x8000 },
    { start: 0xa000, end: 0xb000 },
  ]);
  assert.equal(memory.elided, 0x5000);
  assert.deepEqual(memory.ranges, [
    { start: 0x1000, end: 0x2000, offset: 0 },
    { start: 0x2000, end: 0x4000 },
    { start: 0x4000, end: 0x6000, offset: 0x1000 },
    { start: 0x6000, end: 0x8000 },
    { start: 0xa000, end: 0xb000 },
  ]);
  assert.equal(memory.read(0, 1), undefined);
  assert.equal(memory.read(0x9000, 1), undefined);
  assert.deepEqual(memory.read(0x2000, 2), new Uint8Array(2));
  assert.deepEqual(memory.read(0x1ffe, 4), new Uint8Array([9, 9, 0, 0]));
  assert.deepEqual(memory.read(0x3ffe, 4), new Uint8Array([0, 0, 9, 9]));
  assert.equal(memory.read(0x1800, 0x6000)?.filter((byte) => byte === 9).length, 0x2800);
  assert.equal(memory.read(0x7ffe, 4), undefined);
  assert.equal(memory.read(0x0ffe, 4), undefined);
  assert.deepEqual(searchOne(memory, new Uint8Array([9, 9]), { align: 4096 }), [
    0x1000,
    0x4000,
    0x5000,
  ]);
});

Deno.test("ElidedMemory finds its way among many stretches, and counts no zeros as stored", () => {
  let looks = 0;
  const counted = (start: number, length: number) => ({
    start,
    get end() {
      looks++;
      return start + length;
    },
  });
  const COUNT = 4000;
  const held = Array.from({ length: COUNT }, (_, i) => ({ ...counted(i * 0x4000, 1), offset: i }));
  const inner = new RangeMemory(new BufferImage(new Uint8Array(COUNT).fill(9)), "lime", held);
  const ram = Array.from({ length: COUNT }, (_, i) => counted(i * 0x4000, 0x1000));
  const memory = new ElidedMemory(inner, [...ram, { start: 2 ** 51, end: 2 ** 52 }]);
  assert.ok(looks < 20 * COUNT, `${looks} looks at ranges to find the gaps`);
  assert.equal(memory.elided, COUNT * 0xfff + 2 ** 51);
  assert.equal(storedBytes(memory), COUNT);
  assert.equal(storedBytes(new RecordingMemory(memory)), COUNT);
  looks = 0;
  assert.equal(memory.read(3999 * 0x4000 + 0x2000, 8), undefined);
  assert.deepEqual(memory.read(3999 * 0x4000, 3), new Uint8Array([9, 0, 0]));
  assert.ok(looks < 200, `${looks} looks at ranges to read`);
});

Deno.test("ElidedMemory cuts a range that reaches over stretches of RAM", () => {
  const inner = new RangeMemory(new BufferImage(new Uint8Array(0x3000).fill(9)), "lime", [
    { start: 0x1000, end: 0x4000, offset: 0 },
  ]);
  const memory = new ElidedMemory(inner, [
    { start: 0x0800, end: 0x2000 },
    { start: 0x2800, end: 0x3000 },
    { start: 0x3800, end: 0x4800 },
  ]);
  assert.deepEqual(memory.ranges, [
    { start: 0x0800, end: 0x1000 },
    { start: 0x1000, end: 0x4000, offset: 0 },
    { start: 0x4000, end: 0x4800 },
  ]);
});

Deno.test("openMemory() knows AVML's blocks from LiME's ranges, and takes what is missing for absent", () => {
  const MIB = 2 ** 20;
  const bytes = new Uint8Array(64 * MIB);
  bytes.fill(1, MIB, 2 * MIB);
  bytes.fill(2, 40 * MIB, 41 * MIB);
  const source: SourceMemory = {
    size: bytes.length,
    ram: [{ start: MIB, end: bytes.length }],
    vmcoreinfo: "",
    directMap: 0n,
    bytes: (start, end) => bytes.subarray(start, end),
  };
  withFolder((folder) => {
    for (const compress of [false, true]) {
      writeAvml(`${folder}/image`, source, compress);
      const image = new BufferImage(new Uint8Array(readFileSync(`${folder}/image`)));
      const { memory, elided, damage } = openMemory(image);
      assert.deepEqual([elided, damage], [true, []]);
      assert.deepEqual(memory.ranges.map(({ start, end }) => [start / MIB, end / MIB]), [
        [1, 17],
        [33, 49],
      ]);
      assert.equal(memory.read(20 * MIB, 1), undefined);
      assert.deepEqual(memory.read(40 * MIB - 1, 2), new Uint8Array([0, 2]));
      // A cut image may lack more than zeros.
      const cut = openMemory(new BufferImage(image.bytes.slice(0, -100)));
      assert.equal(cut.elided, false);
    }
  });
});
