import assert from "node:assert/strict";
import {
  heldBytes,
  largestRanges,
  searchSteps,
  storedBytes,
} from "../../lib/memory/physical_memory.ts";
import { ElidedMemory } from "../../lib/memory/elided_memory.ts";
import { squeezedMemory } from "../../lib/memory/open_memory.ts";
import { RangeMemory } from "../../lib/memory/range_memory.ts";
import { RecordingMemory } from "../../lib/memory/recording_memory.ts";
import { BufferImage } from "./buffer_image.ts";
import { pattern } from "./fake_elf.ts";
import { searchOne } from "./search_one.ts";

const BYTES = pattern(0x4000, 1);

/** Two ranges that touch in memory but are swapped in the file, and one apart. */
function memory(): RangeMemory {
  return new RangeMemory(new BufferImage(BYTES.slice()), "raw", [
    { start: 0x10000, end: 0x11000, offset: 0x1000 },
    { start: 0x11000, end: 0x12000, offset: 0x0000 },
    { start: 0x20000, end: 0x22000, offset: 0x2000 },
  ]);
}

Deno.test("RangeMemory.read() reads within a range without a copy", () => {
  const image = new BufferImage(BYTES.slice());
  const ranges = [{ start: 0x10000, end: 0x11000, offset: 0x1000 }];
  const bytes = new RangeMemory(image, "raw", ranges).read(0x10010, 16)!;
  assert.deepEqual(bytes, BYTES.subarray(0x1010, 0x1020));
  assert.equal(bytes.buffer, image.bytes.buffer);
});

Deno.test("RangeMemory.read() reads across ranges that touch", () => {
  const bytes = memory().read(0x10ffc, 8);
  assert.deepEqual(bytes, Uint8Array.from([...BYTES.slice(0x1ffc, 0x2000), ...BYTES.slice(0, 4)]));
  assert.equal(memory().read(0x10000, 0x2000)?.length, 0x2000);
});

Deno.test("RangeMemory.read() reads nothing where one byte is absent", () => {
  const ranges = memory();
  for (const [address, length] of [[0xffff, 1], [0xffff, 2], [0x11ffc, 8], [0x12000, 1]] as const) {
    assert.equal(ranges.read(address, length), undefined);
  }
  assert.equal(ranges.read(0x21fff, 2), undefined);
  assert.equal(ranges.read(-1, 1), undefined);
  assert.equal(ranges.read(2 ** 52, 8), undefined);
  // After a read in one range another is found as well.
  assert.ok(ranges.read(0x20000, 8));
  assert.ok(ranges.read(0x10000, 8));
});

Deno.test("RangeMemory.search() gives physical addresses, across borders too", () => {
  const ranges = memory();
  const needle = ranges.read(0x10ff0, 32)!.slice();
  assert.deepEqual(searchOne(ranges, needle), [0x10ff0]);
  assert.deepEqual(searchOne(ranges, needle, { end: 0x1100f }), []);
  assert.deepEqual(searchOne(ranges, needle, { end: 0x11010 }), [0x10ff0]);
  assert.deepEqual(searchOne(ranges, needle, { start: 0x10ff1 }), []);
  assert.deepEqual(searchOne(ranges, needle, { align: 16 }), [0x10ff0]);
  assert.deepEqual(searchOne(ranges, needle, { align: 4096 }), []);
});

Deno.test("RangeMemory.search() counts alignment by physical address", () => {
  const bytes = new Uint8Array(0x4000);
  for (const at of [0x100c, 0x2004, 0x200c, 0x3000]) bytes.set([0xaa, 0xbb], at);
  const ranges = new RangeMemory(new BufferImage(bytes), "elf", [
    { start: 0x9000, end: 0xa000, offset: 0x1000 },
    { start: 0xb000, end: 0xd000, offset: 0x2000 },
  ]);
  const needle = new Uint8Array([0xaa, 0xbb]);
  assert.deepEqual(searchOne(ranges, needle), [0x900c, 0xb004, 0xb00c, 0xc000]);
  assert.deepEqual(searchOne(ranges, needle, { align: 4096 }), [0xc000]);
  // As for what lies 12 bytes into a page.
  assert.deepEqual(searchOne(ranges, needle, { align: 4096, phase: 12 }), [0x900c, 0xb00c]);
  assert.deepEqual(searchOne(ranges, needle, { limit: 2 }), [0x900c, 0xb004]);
  assert.deepEqual(searchOne(ranges, needle, { start: 0x900d, end: 0xc001 }), [0xb004, 0xb00c]);
});

Deno.test("squeezedMemory() puts memory above the hole at 4 GiB", () => {
  const low = squeezedMemory(new BufferImage(BYTES.slice()), 0x3000);
  assert.deepEqual(low.read(0x2ff8, 8), BYTES.subarray(0x2ff8, 0x3000));
  assert.equal(low.read(0x3000, 1), undefined);
  assert.deepEqual(low.read(2 ** 32, 8), BYTES.subarray(0x3000, 0x3008));
  assert.equal(low.read(2 ** 32 + 0x1000, 1), undefined);
});

Deno.test("RecordingMemory.recorded() has pages that were read, and none that were searched", () => {
  const recorder = new RecordingMemory(memory());
  recorder.search([{ bytes: new Uint8Array([1, 2, 3]) }]);
  assert.deepEqual(recorder.recorded(), []);
  assert.deepEqual(recorder.read(0x21000, 1), memory().read(0x21000, 1));
  recorder.read(0x10ffc, 8);
  recorder.read(0x13000, 8);
  assert.deepEqual(recorder.recorded(), [
    { start: 0x10000, length: 0x2000 },
    { start: 0x21000, length: 0x1000 },
  ]);
  assert.equal(recorder.format, "raw");
  assert.equal(recorder.ranges.length, 3);
});

Deno.test("RangeMemory.search() looks at no range that it has nothing to do in", () => {
  let looks = 0;
  const ranges = Array.from({ length: 20_000 }, (_, i) => ({
    start: i * 0x10_0000,
    get end() {
      looks++;
      return this.start + 1;
    },
    offset: i,
  }));
  const bytes = new Uint8Array(ranges.length);
  bytes[19_990] = 7;
  const found = new RangeMemory(new BufferImage(bytes), "lime", ranges);
  const needle = new Uint8Array([7]);
  const start = 19_980 * 0x10_0000;
  assert.deepEqual(searchOne(found, needle, { start, end: start + 0x200_0000 }), [
    19_990 * 0x10_0000,
  ]);
  assert.ok(looks < 200, `${looks} looks at ranges`);
});

Deno.test("RangeMemory.search() makes room for no more matches than a range can have", () => {
  const limits: (number | undefined)[] = [];
  const image = new BufferImage(BYTES.slice());
  const search = image.search.bind(image);
  image.search = (patterns, options) => {
    limits.push(options?.limit);
    return search(patterns, options);
  };
  const ranges = [0, 1, 2].map((i) => ({ start: i * 0x1000, end: i * 0x1000 + 16, offset: i }));
  new RangeMemory(image, "lime", ranges).search([{ bytes: new Uint8Array([0xff, 0xfe, 0xfd]) }], {
    limit: 65_536,
  });
  assert.deepEqual(limits, [16, 16, 16]);
});

Deno.test("searchSteps() has every range once, and nothing between them", () => {
  const ranges = [
    { start: 0x1000, end: 0x1800 },
    { start: 0x7ffff800, end: 0x80002000 },
    { start: 2 ** 52 - 8192, end: 2 ** 52 },
  ];
  const memory = { format: "fake", ranges, read: () => undefined, search: () => [] };
  assert.deepEqual([...searchSteps(memory, 0x1000)], [
    { start: 0x1000, end: 0x80000000, held: 0x1000 },
    { start: 0x80000000, end: 0x80001000, held: 0x1000 },
    { start: 0x80001000, end: 0x80002000, held: 0x1000 },
    { start: 2 ** 52 - 8192, end: 2 ** 52 - 4096, held: 0x1000 },
    { start: 2 ** 52 - 4096, end: 2 ** 52, held: 0x1000 },
  ]);
  const whole = { start: 0x1000, end: 2 ** 52, held: storedBytes(memory) };
  assert.deepEqual([...searchSteps(memory, 0x100000)], [whole]);
  assert.deepEqual([...searchSteps({ ...memory, stored: [] }, 0x1000)], []);
  const doubling = [...searchSteps(memory, 0x800, 0x2000)].map(({ held }) => held);
  assert.deepEqual(doubling, [0x800, 0x1800, 0x3000]);
});

Deno.test("heldBytes() is what a file holds beside holes, wherever it says so", () => {
  const image = new BufferImage(BYTES.slice());
  const ranges = [{ start: 0, end: BYTES.length, offset: 0 }];
  assert.equal(heldBytes(new RangeMemory(image, "raw", ranges)), BYTES.length);
  const sparse = Object.assign(image, { stored: 5 });
  const memory = new RangeMemory(sparse, "raw", ranges);
  assert.equal(heldBytes(memory), 5);
  assert.equal(heldBytes(new RecordingMemory(memory)), 5);
  assert.equal(heldBytes(new ElidedMemory(memory, [{ start: 0, end: 2 ** 40 }])), 5);
});

Deno.test("largestRanges() keeps as many as can be searched, ascending", () => {
  const ranges = Array.from({ length: 2 ** 18 + 2 }, (_, i) => {
    const length = i === 1 || i === 7 ? 1 : 2;
    return { start: 4 * i, end: 4 * i + length, offset: 4 * i };
  });
  assert.deepEqual(largestRanges(ranges), ranges.filter((_, i) => i !== 1 && i !== 7));
  assert.equal(largestRanges(ranges.slice(2)).length, 2 ** 18);
});

Deno.test("RangeMemory.search() finds what lies across ranges shorter than it, or than its reach", () => {
  const bytes = new TextEncoder().encode("...needle...");
  for (const size of [1, 2, 3, 5, 7]) {
    const ranges = [];
    for (let at = 0; at < bytes.length; at += size) {
      // In the file from behind.
      const end = Math.min(at + size, bytes.length);
      ranges.push({ start: 0x1000 + at, end: 0x1000 + end, offset: bytes.length - end });
    }
    const file = new Uint8Array(bytes.length);
    for (const { start, end, offset } of ranges) {
      file.set(bytes.subarray(start - 0x1000, end - 0x1000), offset);
    }
    const memory = new RangeMemory(new BufferImage(file), "elf", ranges);
    assert.ok(searchOne(memory, new TextEncoder().encode("needle")).includes(0x1003), `${size}`);
  }
});
