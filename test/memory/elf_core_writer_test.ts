import assert from "node:assert/strict";
import { writeElfCore } from "../../lib/memory/elf_core_writer.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import type { PhysicalMemory } from "../../lib/memory/physical_memory.ts";
import { RangeMemory } from "../../lib/memory/range_memory.ts";
import { BufferImage } from "./buffer_image.ts";
import { concat, pattern } from "./fake_elf.ts";

type Runs = readonly { start: number; length: number }[];

function roundTrip(memory: PhysicalMemory, runs: Runs, notes = {}) {
  const bytes = concat(...writeElfCore(memory, runs, notes));
  return openMemory(new BufferImage(bytes, "slice"));
}

function raw(bytes: Uint8Array): RangeMemory {
  return new RangeMemory(new BufferImage(bytes), "raw", [{
    start: 0,
    end: bytes.length,
    offset: 0,
  }]);
}

Deno.test("writeElfCore() writes a core that reads back the same", () => {
  const bytes = pattern(0x10000, 4);
  const runs = [{ start: 0x1000, length: 0x2000 }, { start: 0x8000, length: 0x1000 }];
  const cpus = [{ cr3: 0x1234000n, cr4: 1n << 12n }];
  const vmcoreinfo = "OSRELEASE=6.1\n";
  const opened = roundTrip(raw(bytes), runs, { vmcoreinfo, cpus });
  assert.equal(opened.vmcoreinfo, vmcoreinfo);
  assert.deepEqual(opened.cpus, cpus);
  assert.deepEqual(opened.damage, []);
  assert.deepEqual(opened.memory.read(0x1000, 0x2000), bytes.subarray(0x1000, 0x3000));
  assert.deepEqual(opened.memory.read(0x8000, 0x1000), bytes.subarray(0x8000, 0x9000));
  assert.equal(opened.memory.read(0x3000, 1), undefined);
});

Deno.test("writeElfCore() leaves out what memory does not hold, to the byte", () => {
  const bytes = pattern(0x4000, 4);
  const memory = new RangeMemory(new BufferImage(bytes), "elf", [
    { start: 0x1234, end: 0x2100, offset: 0 },
    { start: 0x2100, end: 0x2200, offset: 0x2000 },
    { start: 0x3000, end: 0x3001, offset: 0x3000 },
  ]);
  const opened = roundTrip(memory, [{ start: 0x1000, length: 0x2000 }, {
    start: 0x3000,
    length: 0x2000,
  }]);
  assert.deepEqual(opened.memory.ranges.map(({ start, end }) => [start, end]), [
    [0x1234, 0x2200],
    [0x3000, 0x3001],
  ]);
  assert.deepEqual(opened.memory.read(0x1234, 0xfcc), memory.read(0x1234, 0xfcc));
  assert.equal(roundTrip(memory, [{ start: 0x1000, length: 0x1000 }]).memory.ranges.length, 1);
});

Deno.test("writeElfCore() writes more segments than its header can count", () => {
  const count = 70_000;
  const bytes = new Uint8Array(count * 0x2000 / 64);
  // Every page of the machine is the same few bytes of the file, each with its own first word.
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) view.setUint32(i * 128, i, true);
  const ranges = Array.from({ length: count }, (_, i) => {
    return { start: i * 0x2000, end: i * 0x2000 + 64, offset: i * 128 };
  });
  const memory = new RangeMemory(new BufferImage(bytes), "elf", ranges);
  const runs = ranges.map(({ start }) => ({ start, length: 0x1000 }));
  const opened = roundTrip(memory, runs, { vmcoreinfo: "OSRELEASE=6.1\n" });
  assert.equal(opened.vmcoreinfo, "OSRELEASE=6.1\n");
  assert.equal(opened.memory.ranges.length, count);
  for (const i of [0, 1, 65_533, 65_534, 65_535, count - 1]) {
    const page = opened.memory.read(i * 0x2000, 64)!;
    assert.equal(new DataView(page.buffer, page.byteOffset).getUint32(0, true), i);
    assert.equal(opened.memory.read(i * 0x2000 + 64, 1), undefined);
  }
});
