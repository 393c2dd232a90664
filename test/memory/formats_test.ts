/** What holds for every image format: the same memory, whatever it is written as, and no surprise. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { deflateSync } from "node:zlib";
import { FlattenedFile } from "../../lib/memory/flattened_file.ts";
import { ImageError } from "../../lib/memory/image_error.ts";
import { type OpenedMemory, openMemory } from "../../lib/memory/open_memory.ts";
import { withFolder } from "../ffi/open_image.ts";
import { Random } from "../scan/mutations.ts";
import { BoundedImage, BufferImage } from "./buffer_image.ts";
import {
  assertNothingWrong,
  assertSameMemory,
  assertSearches,
  SmallMemory,
} from "./small_memory.ts";
import {
  flattened,
  type SourceMemory,
  writeAvml,
  writeKdump,
  writeLime,
  writeVmcore,
} from "./write_formats.ts";

const MEMORY = new SmallMemory([[1, 40], [48, 60], [100, 212]]);

/** How an image is written, and whether each stretch of it has a checksum. */
interface Format {
  readonly name: string;
  readonly make: (memory: SourceMemory) => Uint8Array;
  readonly checked?: boolean;
}

function written(write: (path: string) => void): Uint8Array {
  let bytes = new Uint8Array();
  withFolder((folder) => {
    write(`${folder}/image`);
    bytes = new Uint8Array(readFileSync(`${folder}/image`));
  });
  return bytes;
}

const lime = (memory: SourceMemory) => written((path) => writeLime(path, memory));
const kdump = (codec: Parameters<typeof writeKdump>[2]) => (memory: SourceMemory) =>
  written((path) => writeKdump(path, memory, codec));

const FORMATS: readonly Format[] = [
  { name: "lime", make: lime },
  { name: "avml", make: (m) => written((path) => writeAvml(path, m, true)), checked: true },
  { name: "kdump, none", make: kdump("none") },
  { name: "lime, of AVML", make: (m) => written((path) => writeAvml(path, m, false)) },
  { name: "kdump, zlib", make: kdump("zlib") },
  { name: "kdump, lzo", make: kdump("lzo") },
  { name: "kdump, snappy", make: kdump("snappy") },
  { name: "kdump, zstd", make: kdump("zstd") },
  { name: "kdump, flattened", make: (m) => flattened(kdump("none")(m), { seed: 5 }) },
  { name: "lime, zlib", make: (m) => deflateSync(lime(m), { windowBits: 11, memLevel: 5 }) },
];

const IMAGES = FORMATS.map((format) => ({ ...format, bytes: format.make(MEMORY) }));

/** Opens an image; undefined where it is refused, which is to be said with an {@linkcode ImageError}. */
function open(image: BufferImage): OpenedMemory | undefined {
  try {
    return openMemory(image);
  } catch (error) {
    assert.ok(error instanceof ImageError, String(error));
    assert.match(error.message, /^Cannot read "image": [^\n]+[^.\n]$/);
    return undefined;
  }
}

for (const { name, bytes } of IMAGES) {
  Deno.test(`openMemory() reads and searches ${name}`, () => {
    const { memory, damage, raw } = openMemory(new BufferImage(bytes));
    assert.equal(memory.format, name.split(",")[0]);
    assert.deepEqual(damage, []);
    assert.equal(raw, undefined);
    assertSameMemory(memory, MEMORY);
    assert.equal(memory.ranges[0]?.start, 4096);
    assert.equal(memory.ranges.at(-1)?.end, MEMORY.size);
    // Across pages, and into what is absent.
    assert.deepEqual(memory.read(0x2ff0, 0x3020), MEMORY.bytes(0x2ff0, 0x6010));
    assert.equal(memory.read(39 * 4096, 4097), undefined);
    assertSearches(memory, MEMORY);
    assert.equal(memory.undecodable ?? 0, 0);
  });

  Deno.test(`openMemory() reads no wrong byte of ${name} cut anywhere, and says what is lost`, () => {
    const random = new Random(11);
    const cuts = [...Array(300).keys(), ...[4095, 4096, 8191, 8192, 12288, 16384]];
    for (let i = 0; i < 60; i++) cuts.push(random.below(bytes.length));
    for (let i = 1; i < 80; i++) cuts.push(bytes.length - i);
    for (const length of cuts) {
      if (length >= bytes.length) continue;
      const opened = open(new BufferImage(bytes.slice(0, length)));
      if (opened === undefined) continue;
      const absent = assertNothingWrong(opened.memory, MEMORY);
      const said = opened.damage.length + (opened.memory.undecodable ?? 0);
      assert.ok(absent === 0 || said > 0, `${absent} pages lost at ${length} without a word`);
    }
  });
}

Deno.test("openMemory() outlives random damage to every format, and reads little more for it", () => {
  const random = new Random(2026);
  for (let round = 0; round < 500; round++) {
    const { bytes, name, checked } = random.one(IMAGES);
    const damaged = bytes.slice();
    for (let n = 1 + random.below(4); n > 0; n--) {
      // Half of the time in the headers, most of which lie in front.
      const at = random.below(
        random.below(2) === 0 ? Math.min(20_000, bytes.length) : bytes.length,
      );
      const length = random.one([1, 1, 4, 8]);
      const value = random.one([0, 0xff, 0x7f, random.below(256)]);
      damaged.fill(value, at, at + length);
    }
    const memory = open(new BoundedImage(damaged, 16 * MEMORY.size))?.memory;
    if (memory === undefined) continue;
    let last = 0;
    for (const range of memory.ranges) {
      assert.ok(range.start >= last && range.start < range.end, `${name}: ranges out of order`);
      last = range.end;
    }
    if (checked) assertNothingWrong(memory, MEMORY);
    else for (let page = 0; page < MEMORY.size; page += 4096) memory.read(page, 4096);
    memory.search([{ bytes: new TextEncoder().encode("swapper/0\0\0\0\0\0\0\0") }]);
  }
});

Deno.test("FlattenedFile keeps no more pieces than a file of its size has", () => {
  const pieces = (count: number) => {
    const bytes = new Uint8Array(4096 + 17 * count + 16).fill(0xff);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < count; i++) {
      // From behind: they have to be sorted.
      view.setBigInt64(4096 + 17 * i, BigInt(count - i));
      view.setBigInt64(4096 + 17 * i + 8, 1n);
      bytes[4096 + 17 * i + 16] = i % 251;
    }
    return new FlattenedFile(new BufferImage(bytes));
  };
  const whole = pieces(65_536);
  assert.deepEqual(whole.damage, []);
  assert.deepEqual([...whole.read(65_534, 3)!], [2, 1, 0]);
  const { damage, size } = pieces(70_000);
  // A header and one byte take 17; the file counts by the page.
  const most = 65_536 + Math.floor((4096 + 17 * 70_000 + 16) / 4096);
  assert.deepEqual(damage, [
    `more than ${most} pieces; nothing behind ${4096 + 17 * most} was read`,
  ]);
  assert.equal(size, 70_001);
});

Deno.test("FlattenedFile knows its gaps, and searches none", () => {
  const far = 2 ** 46;
  const piece = (offset: number, data: Uint8Array) => {
    const head = new DataView(new ArrayBuffer(16));
    head.setBigInt64(0, BigInt(offset));
    head.setBigInt64(8, BigInt(data.length));
    return [...new Uint8Array(head.buffer), ...data];
  };
  const text = new TextEncoder().encode("needle");
  const end = new Array(16).fill(0xff);
  const file = (at: number) =>
    new FlattenedFile(
      new BufferImage(
        new Uint8Array([...new Uint8Array(4096), ...piece(0, text), ...piece(at, text), ...end]),
      ),
    );
  const whole = file(far + 1);
  assert.deepEqual([whole.size, whole.stored, whole.damage], [far + 7, 12, []]);
  assert.deepEqual(whole.search([{ bytes: text }]), [[0, far + 1]]);
  // A match may begin with zeros of the gap.
  assert.deepEqual(whole.search([{ bytes: new Uint8Array([0, 0, ...text]) }]), [[far - 1]]);
  assert.deepEqual(whole.search([{ bytes: text }], { start: 100, end: far }), [[]]);
  assert.deepEqual(file(2 ** 47).damage.length, 1);
});

Deno.test("openMemory() reads a flattened file whose later pieces overwrite earlier ones", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const bytes = flattened(kdump("snappy")(MEMORY), { seed, overwritten: true });
    const { memory, damage, wrapping } = openMemory(new BufferImage(bytes));
    assert.deepEqual([damage, wrapping], [[], ["flattened"]]);
    assertSameMemory(memory, MEMORY);
  }
});

Deno.test("openMemory() reads a core as the kernel writes it after a crash", () => {
  const memory = new SmallMemory([[0, 16_384]]);
  const info = `SYMBOL(_stext)=ffffffff81000000\nNUMBER(phys_base)=0\n`;
  const source: SourceMemory = {
    ...{ size: memory.size, ram: memory.ram, directMap: memory.directMap, vmcoreinfo: info },
    bytes: (start, end) => memory.bytes(start, end),
  };
  const image = new BufferImage(written((path) => writeVmcore(path, source)));
  const opened = openMemory(image);
  assert.equal(opened.vmcoreinfo, info);
  assert.deepEqual(opened.damage, []);
  assertSameMemory(opened.memory, memory);
});
