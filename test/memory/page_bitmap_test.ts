import assert from "node:assert/strict";
import { PageBitmap } from "../../lib/memory/page_bitmap.ts";
import { Random } from "../scan/mutations.ts";
import { BufferImage } from "./buffer_image.ts";

Deno.test("PageBitmap agrees with looking at each bit", () => {
  const random = new Random(4);
  for (let round = 0; round < 40; round++) {
    const size = 1 + random.below(20_000);
    const offset = random.below(50);
    const bytes = new Uint8Array(offset + Math.ceil(size / 8));
    // Runs of either kind, and single bits.
    for (let at = offset; at < bytes.length;) {
      const end = Math.min(bytes.length, at + 1 + random.below(1500));
      bytes.fill(random.one([0, 0, 0xff, 0xff, random.below(256)]), at, end);
      at = end;
    }
    // Bits behind the last are not to count.
    bytes[bytes.length - 1]! |= 0xff << (size % 8 || 8);
    const bits = Array.from(
      { length: size },
      (_, bit) => bytes[offset + (bit >> 3)]! >> (bit & 7) & 1,
    );
    const bitmap = new PageBitmap(new BufferImage(bytes), offset, size);
    assert.equal(bitmap.count, bits.filter((bit) => bit === 1).length);
    for (let n = 0; n < 300; n++) {
      const bit = random.below(size + 2);
      assert.equal(bitmap.has(bit), bits[bit] === 1, `has(${bit})`);
      assert.equal(bitmap.rank(bit), bits.slice(0, bit).filter((b) => b === 1).length);
      const next = bits.indexOf(1, bit);
      assert.equal(bitmap.next(bit), next < 0 ? undefined : next, `next(${bit})`);
      const last = bits.slice(0, bit).lastIndexOf(1);
      assert.equal(bitmap.last(bit), last < 0 ? undefined : last, `last(${bit})`);
    }
    const covered = bits.map(() => 0);
    for (const { start, end } of bitmap.runs()) covered.fill(1, start, end);
    assert.deepEqual(covered, bits);
  }
});

Deno.test("PageBitmap bounds the runs that it tells apart", () => {
  const bitmap = new PageBitmap(new BufferImage(new Uint8Array(40_000).fill(0x55)), 0, 320_000);
  const runs = bitmap.runs();
  assert.equal(runs.length, 65_537);
  assert.deepEqual(runs[1], { start: 2, end: 3 });
  assert.equal(runs.at(-1)?.end, 320_000);
});
