import assert from "node:assert/strict";
import { elfNotes, isElf, readElfCore } from "../../lib/memory/elf_core.ts";
import { ImageError } from "../../lib/memory/image_error.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import { BoundedImage, BufferImage } from "./buffer_image.ts";
import {
  buildElf,
  buildNote,
  concat,
  type FakeElfHeader,
  type FakeSegment,
  pattern,
  PT_NOTE,
  qemuState,
} from "./fake_elf.ts";
import { searchOne } from "./search_one.ts";

function core(segments: readonly FakeSegment[], header?: FakeElfHeader) {
  return readElfCore(new BufferImage(buildElf(segments, header), "dump.elf"));
}

function memoryOf(segments: readonly FakeSegment[]) {
  return openMemory(new BufferImage(buildElf(segments))).memory;
}

const LOAD: FakeSegment = { address: 0x1000, bytes: pattern(0x100, 1) };

Deno.test("readElfCore() gives segments by physical address, ascending", () => {
  const memory = memoryOf([
    { address: 0x5000, bytes: pattern(0x100, 5) },
    { address: 0x1000, bytes: pattern(0x100, 1) },
  ]);
  assert.equal(memory.format, "elf");
  assert.deepEqual(memory.ranges.map(({ start, end }) => [start, end]), [
    [0x1000, 0x1100],
    [0x5000, 0x5100],
  ]);
  assert.deepEqual(memory.read(0x5010, 8), pattern(0x100, 5).subarray(0x10, 0x18));
  assert.equal(memory.read(0x10f9, 8), undefined);
  assert.equal(memory.read(0xfff, 1), undefined);
  assert.equal(memory.read(0x3000, 1), undefined);
});

Deno.test("readElfCore() takes bytes past p_filesz for absent, not for zero", () => {
  const memory = memoryOf([{ ...LOAD, memorySize: 0x1000 }]);
  assert.deepEqual(memory.read(0x10f8, 8), pattern(0x100, 1).subarray(0xf8));
  assert.equal(memory.read(0x1100, 1), undefined);
  // The other way round, memory ends first.
  assert.equal(memoryOf([{ ...LOAD, memorySize: 0x80 }]).read(0x1080, 1), undefined);
});

Deno.test("readElfCore() joins segments that touch in memory and in the file", () => {
  const { ranges, damage } = core([
    { address: 0x1000, bytes: pattern(0x100, 1) },
    { address: 0x1100, bytes: pattern(0x100, 2) },
    { address: 0x1200, bytes: pattern(0x100, 3) },
  ]);
  assert.equal(ranges.length, 1);
  assert.deepEqual(damage, []);
});

Deno.test("readElfCore() takes bytes of the file for one address alone", () => {
  const first = { address: 0x1000, bytes: pattern(0x2000, 1) };
  const offset = 64 + 4 * 56;
  const { ranges, damage } = core([
    first,
    { address: 0x8000, offset, fileSize: 0x1000 },
    { address: 0x10000, offset: offset + 0x1800, fileSize: 0x800 },
    { address: 0x20000, bytes: pattern(0x100, 2) },
  ]);
  assert.deepEqual(ranges.map(({ start }) => start), [0x1000, 0x20000]);
  assert.deepEqual(damage, ["2 of 4 ranges of memory hold the same bytes as another"]);
});

Deno.test("readElfCore() takes mappings of the same memory for one, as a core with paging has them", () => {
  const bytes = pattern(0x6000, 1);
  const offset = 64 + 5 * 56;
  const mapping = (from: number, to: number) => ({
    address: 0x10000 + from,
    offset: offset + from,
    fileSize: to - from,
  });
  const { ranges, damage } = core([
    { address: 0x10000, bytes, fileSize: 0x2000 },
    mapping(0x2000, 0x3000),
    mapping(0x1000, 0x4000),
    mapping(0x1000, 0x2000),
    mapping(0x3000, 0x6000),
  ]);
  assert.deepEqual(ranges, [{ start: 0x10000, end: 0x16000, offset }]);
  assert.deepEqual(damage, []);
});

Deno.test("readElfCore() reads CR3 and CR4 of every CPU, and VMCOREINFO", () => {
  const notes = concat(
    buildNote("CORE", pattern(336, 1)),
    buildNote("QEMU", qemuState(0x1234000n, 1n << 12n)),
    buildNote("QEMU", qemuState(0x5678001n, 0n)),
    buildNote("QEMU", new Uint8Array(100)),
    buildNote("QEMU", new Uint8Array(440)),
    buildNote("VMCOREINFO", new TextEncoder().encode("OSRELEASE=6.1\nPAGESIZE=4096\n")),
    buildNote("VMCOREINFO", new TextEncoder().encode("OSRELEASE=9.9\n")),
  );
  const { cpus, vmcoreinfo } = core([{ type: PT_NOTE, bytes: notes }, LOAD]);
  assert.deepEqual(cpus, [{ cr3: 0x1234000n, cr4: 0x1000n }, { cr3: 0x5678001n, cr4: 0n }]);
  assert.equal(vmcoreinfo, "OSRELEASE=6.1\nPAGESIZE=4096\n");
});

Deno.test("elfNotes() ends at a note that does not fit", () => {
  const good = buildNote("A", new Uint8Array(5));
  for (const [at, value] of [[0, 0xffffffff], [4, 0xfffffff0], [4, 0x7fffffff], [0, 257]]) {
    const bad = buildNote("B", new Uint8Array(4));
    new DataView(bad.buffer).setUint32(at!, value!, true);
    assert.deepEqual([...elfNotes(concat(good, bad))].map((note) => note.owner), ["A"]);
  }
  assert.deepEqual([...elfNotes(good.subarray(0, 11))], []);
  // Notes without a name or data are twelve bytes each.
  assert.equal([...elfNotes(new Uint8Array(12 * 7))].length, 7);
});

Deno.test("readElfCore() takes the count of headers from section 0 where it has no room", () => {
  const bytes = buildElf([LOAD], { count: 0xffff, sections: { at: 0x400, info: 1 } });
  assert.equal(readElfCore(new BufferImage(bytes)).ranges.length, 1);
  const cases = [
    [{ at: 0x400, info: 0 }, /no program headers/],
    [{ at: 0x400, info: 0xffffffff }, /4294967295 ELF program headers/],
    [{ at: 0x400, info: 1000 }, /1000 ELF program headers at 64 end outside/],
  ] as const;
  for (const [sections, message] of cases) {
    assert.throws(() => core([LOAD], { count: 0xffff, sections }), message);
  }
  const outside = buildElf([LOAD], { count: 0xffff });
  assert.throws(() => readElfCore(new BufferImage(outside)), /section header is outside/);
  new DataView(outside.buffer).setBigUint64(40, 2n ** 64n - 1n, true);
  assert.throws(() => readElfCore(new BufferImage(outside)), /section header is outside/);
});

Deno.test("readElfCore() says what is wrong with other files", () => {
  const cases: [FakeElfHeader, RegExp][] = [
    [{ class: 1 }, /32-bit, expected 64-bit/],
    [{ class: 7 }, /class is not valid/],
    [{ endianness: 2 }, /big-endian/],
    [{ machine: 183 }, /AArch64, expected x86-64/],
    [{ machine: 3 }, /x86 \(32-bit\)/],
    [{ machine: 4711 }, /number 4711/],
    [{ type: 2 }, /an executable, expected a core dump/],
    [{ type: 3 }, /a shared object/],
    [{ type: 0xfe00 }, /of type 65024/],
    [{ entrySize: 32 }, /have 32 bytes, expected 56/],
    [{ count: 0 }, /no program headers/],
    [{ count: 100 }, /100 ELF program headers at 64 end outside the file/],
    [{ table: 2n ** 64n - 8n }, /end outside the file/],
    [{ table: 2n ** 63n }, /end outside the file/],
  ];
  for (const [header, message] of cases) {
    assert.throws(() => core([LOAD], header), (error) => {
      assert.ok(error instanceof ImageError);
      assert.match(error.message, /^Cannot read "dump.elf": /);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("readElfCore() cuts segments that end outside the file, and says so", () => {
  const { ranges, damage } = core([LOAD, {
    address: 0x5000,
    bytes: pattern(64, 2),
    fileSize: 999,
  }]);
  assert.deepEqual(ranges.map(({ start, end }) => end - start), [0x100, 64]);
  assert.deepEqual(damage, ["1 of 2 segments are cut short by the end of the file"]);
});

Deno.test("readElfCore() leaves segments out that lie outside the file or any memory", () => {
  const { ranges, damage } = core([
    LOAD,
    { address: 0x5000, offset: 2n ** 40n, fileSize: 0x1000 },
    { address: 0x6000, offset: 2n ** 64n - 1n, fileSize: 0x1000 },
    { address: 2n ** 52n, bytes: pattern(16, 1) },
    { address: 2n ** 64n - 4096n, bytes: pattern(16, 1) },
    { type: PT_NOTE, offset: 2n ** 63n, fileSize: 100 },
  ]);
  assert.equal(ranges.length, 1);
  assert.deepEqual(damage, [
    "4 of 6 segments point outside the file",
    "1 note segments point outside the file",
  ]);
  assert.throws(
    () => core([{ address: 0x5000, offset: 2n ** 40n, fileSize: 0x1000 }]),
    /none of its 1 program headers holds memory/,
  );
  assert.throws(() => core([{ address: 0x1000 }]), /none of its 1 program headers holds memory/);
});

Deno.test("readElfCore() takes the first of segments that overlap, and says where bytes differ", () => {
  const same = core([
    { address: 0x1000, bytes: pattern(0x100, 1) },
    { address: 0x1080, bytes: pattern(0x100, 1).subarray(0x80) },
  ]);
  assert.deepEqual(same.damage, []);
  assert.deepEqual(same.ranges.map(({ start, end }) => [start, end]), [[0x1000, 0x1100]]);

  const segments = [
    { address: 0x1000, bytes: pattern(0x100, 1) },
    { address: 0x1080, bytes: pattern(0x100, 2) },
    { address: 0x1000, bytes: pattern(0x40, 3) },
  ];
  assert.deepEqual(core(segments).damage, ["2 segments overlap another with different bytes"]);
  const memory = memoryOf(segments);
  assert.deepEqual(memory.read(0x1000, 0x100), pattern(0x100, 1));
  // The rest of the second goes on where the first ends.
  assert.deepEqual(memory.read(0x1100, 0x80), pattern(0x100, 2).subarray(0x80));
  assert.deepEqual(memory.read(0x10fc, 8)!.subarray(4), pattern(0x100, 2).subarray(0x80, 0x84));
});

Deno.test("readElfCore() throws nothing but ImageError on a file cut at any byte", () => {
  const whole = buildElf([
    { type: PT_NOTE, bytes: buildNote("QEMU", qemuState(0x1000n, 0n)) },
    LOAD,
    { address: 0x9000, bytes: pattern(64, 9) },
  ]);
  let read = 0;
  for (let length = 0; length < whole.length; length++) {
    const bytes = whole.slice(0, length);
    try {
      const { damage } = readElfCore(new BufferImage(bytes));
      assert.ok(damage.length > 0, `nothing said of a file cut at ${length}`);
      read++;
    } catch (error) {
      assert.ok(error instanceof ImageError, `${length}: ${error}`);
    }
    if (isElf(bytes)) continue;
    assert.throws(() => openMemory(new BufferImage(bytes)), /too few for a memory image/);
  }
  assert.ok(read > 0);
});

Deno.test("readElfCore() throws nothing but ImageError on damaged headers", () => {
  const whole = buildElf([
    { type: PT_NOTE, bytes: buildNote("QEMU", qemuState(0x1000n, 0n)) },
    LOAD,
    { address: 0x1080, bytes: pattern(0x100, 9) },
  ]);
  let state = 7;
  const random = (end: number) => (state = state * 48271 % 0x7fffffff) % end;
  for (let round = 0; round < 5000; round++) {
    const bytes = whole.slice();
    for (let i = random(3); i >= 0; i--) bytes[4 + random(64 + 4 * 56 - 4)] = random(256);
    try {
      const image = new BufferImage(bytes);
      const { memory } = openMemory(image);
      let last = -1;
      for (const { start, end, offset } of readElfCore(image).ranges) {
        assert.ok(start >= last && start < end && offset + (end - start) <= bytes.length);
        last = end;
        assert.equal(memory.read(start, end - start)?.length, end - start);
      }
    } catch (error) {
      assert.ok(error instanceof ImageError, String(error));
    }
  }
});

Deno.test("readElfCore() reads a few notes of a hundred thousand", () => {
  // Each note segment is the whole of the same notes, of twelve bytes each.
  const bytes = new Uint8Array(24 * 1024 * 1024);
  const count = 60_000;
  const notes = 64 + count * 56;
  bytes.set(buildElf([LOAD], { count }));
  const view = new DataView(bytes.buffer);
  for (let i = 1; i < count; i++) {
    view.setUint32(64 + i * 56, PT_NOTE, true);
    view.setBigUint64(64 + i * 56 + 8, BigInt(notes), true);
    view.setBigUint64(64 + i * 56 + 32, BigInt(8 * 1024 * 1024), true);
  }
  const { damage } = readElfCore(new BoundedImage(bytes, notes + 17 * 1024 * 1024));
  assert.ok(damage.some((text) => text.includes("note segments were skipped")));
});

Deno.test("openMemory() names formats that it knows and cannot read", () => {
  const cases: [string, RegExp][] = [
    ["DISKDUMP", /it is a diskdump, which is not supported/],
    ["QEVM", /a QEMU migration stream/],
    ["LibvirtQemudSave", /a libvirt save file/],
    ["\x1f\x8b\x08", /gzip data/],
    ["\x28\xb5\x2f\xfd", /zstd data/],
  ];
  for (const [magic, message] of cases) {
    const bytes = new Uint8Array(2 * 1024 * 1024);
    for (let i = 0; i < magic.length; i++) bytes[i] = magic.charCodeAt(i);
    assert.throws(() => openMemory(new BufferImage(bytes)), message);
  }
});

Deno.test("openMemory() takes anything else that is large enough for raw memory", () => {
  const bytes = pattern(1024 * 1024, 3);
  const { memory } = openMemory(new BufferImage(bytes));
  assert.equal(memory.format, "raw");
  assert.deepEqual(memory.read(0xfff00, 0x100), bytes.subarray(0xfff00));
  assert.equal(memory.read(0xfff00, 0x101), undefined);
  assert.throws(() => openMemory(new BufferImage(bytes.slice(1))), /1048575 bytes are too few/);
  assert.throws(() => openMemory(new BufferImage(new Uint8Array())), /0 bytes are too few/);
});

Deno.test("readElfCore() takes segments past 2^53, as /proc/kcore has them, where they are exact", () => {
  const offset = 0x0091_8880_0000_4000;
  const memory = pattern(0x20000, 1);
  const head = buildElf([
    { address: 2n ** 64n - 1n, offset: 0x4000, fileSize: 0x1000 },
    { address: 0x1000, offset: BigInt(offset), fileSize: memory.length },
    { address: 0x40000, offset: BigInt(offset) + 1n, fileSize: 0x1000 },
  ]);
  const source = {
    name: "kcore",
    size: 2 ** 56,
    isMapped: false,
    shrank: false,
    beside: () => undefined,
    close() {},
    search: () => [],
    read(at: number, length: number) {
      if (at < offset) return head.slice(at, at + length);
      assert.equal((at - offset) % 4096, 0);
      return memory.slice(at - offset, at - offset + length);
    },
  };
  const { ranges, damage } = readElfCore(source);
  assert.deepEqual(ranges, [{ start: 0x1000, end: 0x21000, offset }]);
  assert.deepEqual(damage, ["1 of 3 segments point outside the file"]);
  const opened = openMemory(source).memory;
  assert.equal(opened.format, "kcore");
  assert.deepEqual(opened.read(0x1001, 7), memory.slice(1, 8));
  assert.deepEqual(opened.read(0x10ffd, 0x10003), memory.slice(0xfffd));
  assert.equal(opened.read(0x20fff, 2), undefined);
  assert.equal(opened.read(0x40000, 1), undefined);
  assert.equal(searchOne(opened, memory.slice(0xfffa, 0x10006), { start: 0x10ff0 })[0], 0x10ffa);
});
