/** Headers that lie, and data that expands: one clear line or a note of damage, in bounded time. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { deflateSync, zstdCompressSync } from "node:zlib";
import { ImageError } from "../../lib/memory/image_error.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import { BufferImage } from "./buffer_image.ts";
import { searchOne } from "./search_one.ts";

const PAGE = 4096;
const text = (value: string) => new TextEncoder().encode(value);

function open(bytes: Uint8Array, name?: string, others?: Record<string, Uint8Array>) {
  return openMemory(new BufferImage(bytes, name, others));
}

/** A LiME or AVML header. */
function header(magic: string, version: number, start: bigint, last: bigint): Uint8Array {
  const view = new DataView(new ArrayBuffer(32));
  const bytes = new Uint8Array(view.buffer);
  bytes.set(text(magic));
  view.setUint32(4, version, true);
  view.setBigUint64(8, start, true);
  view.setBigUint64(16, last, true);
  return bytes;
}

function join(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

Deno.test("openMemory() refuses LiME and AVML images without memory", () => {
  const none = /Cannot read "image": (LiME|AVML) image holds no memory$/;
  const page = new Uint8Array(PAGE);
  const cases = [
    text("EMiL"),
    header("EMiL", 1, 0n, 4095n),
    join(header("EMiL", 2, 0n, 4095n), page),
    join(header("EMiL", 1, 4096n, 4095n), page),
    join(header("EMiL", 1, 0n, 2n ** 64n - 1n), page),
    join(header("EMiL", 1, 2n ** 52n, 2n ** 52n + 1n), page),
    text("AVML"),
    join(header("AVML", 2, 0n, 4095n), page),
    join(header("AVML", 1, 0n, 4095n), page),
    join(header("AVML", 2, 0n, 2n ** 63n), new Uint8Array(2 * PAGE).fill(0xff)),
  ];
  for (const bytes of cases) assert.throws(() => open(bytes), none);
});

Deno.test("openMemory() keeps what a LiME image holds before, and says what is wrong", () => {
  const first = join(header("EMiL", 1, 0x1000n, 0x1fffn), new Uint8Array(PAGE).fill(1));
  const cases: [Uint8Array, string][] = [
    [text("x"), "no range header at 4128; nothing behind it was read"],
    [header("EMiL", 1, 0x5000n, 0x4fffn), "no range header at 4128; nothing behind it was read"],
    [header("EMiL", 1, 0x5000n, 0xffffn), "the range at 4160 is cut short by the end of the file"],
    [join(header("EMiL", 1, 0x1800n, 0x27ffn), new Uint8Array(PAGE)), "1 ranges overlap another"],
  ];
  for (const [rest, message] of cases) {
    const { memory, damage } = open(join(first, rest));
    assert.deepEqual(damage, [message]);
    assert.equal(memory.read(0x1000, 1)?.[0], 1);
  }
});

Deno.test("openMemory() takes AVML's chunks only at their true length", () => {
  const chunk = (type: number, size: number, ...data: number[]) =>
    new Uint8Array([type, size & 0xff, size >> 8 & 0xff, size >> 16, ...data]);
  const cases: Record<string, Uint8Array> = {
    "a chunk past the end": chunk(0, 0xffffff),
    "a chunk of no data": chunk(0, 4, 0, 0, 0, 0),
    "a chunk that says 4 GiB": chunk(0, 9, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
    "a chunk that expands too much": chunk(0, 8, 0, 0, 0, 0, 0x80, 0x80, 4, 0),
    "a chunk that must not be skipped": chunk(2, 4, 0, 0, 0, 0),
    "another length": chunk(1, 6, 0, 0, 0, 0, 1, 2),
    "a stream's start of another length": chunk(0xff, 5, 1, 2, 3, 4, 5),
  };
  for (const [what, bytes] of Object.entries(cases)) {
    const image = join(header("AVML", 2, 0n, 0x1ffffn), bytes, new Uint8Array(100));
    assert.throws(() => open(image), /AVML image holds no memory/, what);
  }
});

interface KdumpFields {
  magic?: string;
  version?: number;
  machine?: string;
  status?: number;
  blockSize?: number;
  subBlocks?: number;
  bitmapBlocks?: number;
  pages?: number;
  sub?: Record<number, bigint>;
  /** Compressed bytes of page 0, and their flags. */
  data?: Uint8Array;
  flags?: number;
  descriptor?: { offset?: bigint; size?: number };
}

/** A kdump with one page. */
function kdump(fields: KdumpFields = {}): Uint8Array {
  const data = fields.data ?? new Uint8Array(PAGE).fill(7);
  const bytes = new Uint8Array(5 * PAGE + data.length);
  const view = new DataView(bytes.buffer);
  bytes.set(text(fields.magic ?? "KDUMP   "));
  view.setInt32(8, fields.version ?? 6, true);
  bytes.set(text(fields.machine ?? "x86_64"), 272);
  view.setUint32(424, fields.status ?? 0, true);
  view.setInt32(428, fields.blockSize ?? PAGE, true);
  view.setUint32(432, fields.subBlocks ?? 1, true);
  view.setUint32(436, fields.bitmapBlocks ?? 2, true);
  view.setUint32(440, fields.pages ?? 1, true);
  view.setBigUint64(PAGE + 96, BigInt(fields.pages ?? 1), true);
  for (const [at, value] of Object.entries(fields.sub ?? {})) {
    view.setBigUint64(PAGE + Number(at), value, true);
  }
  bytes[2 * PAGE] = 1;
  bytes[3 * PAGE] = 1;
  view.setBigUint64(4 * PAGE, fields.descriptor?.offset ?? BigInt(5 * PAGE), true);
  view.setUint32(4 * PAGE + 8, fields.descriptor?.size ?? data.length, true);
  view.setUint32(4 * PAGE + 12, fields.flags ?? 0, true);
  bytes.set(data, 5 * PAGE);
  return bytes;
}

Deno.test("openMemory() says what is wrong with a kdump", () => {
  assert.equal(open(kdump()).memory.read(0, 1)?.[0], 7);
  const cases: [Uint8Array, RegExp][] = [
    [text("KDUMP   "), /kdump header needs 464 bytes, file has 8/],
    [kdump().slice(0, 500), /no sub header/],
    [kdump({ subBlocks: 0 }), /no sub header/],
    [kdump({ machine: "aarch64" }), /machine "aarch64", expected x86_64/],
    [kdump({ blockSize: 65536 }), /blocks of 65536 bytes/],
    [kdump({ blockSize: -1 }), /blocks of -1 bytes/],
    [kdump({ pages: 0 }), /0 pages/],
    [kdump({ sub: { 96: 2n ** 64n - 1n } }), /pages, expected 1 to/],
    [kdump({ sub: { 96: 2n ** 32n } }), /bitmaps of 2 blocks are too short/],
    [kdump({ bitmapBlocks: 1 }), /end outside|too short|holds no page/],
    [kdump({ bitmapBlocks: 0xffffffff }), /bitmaps end outside the file/],
    [kdump({ subBlocks: 0xffffffff }), /bitmaps end outside the file/],
    [kdump({ subBlocks: 2 }), /holds no page|end outside/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(() => open(bytes), (error) => {
      assert.ok(error instanceof ImageError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("openMemory() reads a kdump in spite of damage beside its memory, and says so", () => {
  const split = { 8: 1n << 32n, 80: 5n, 88: 2n ** 60n };
  const cases: [KdumpFields, RegExp][] = [
    [{ status: 8 }, /marked as incomplete/],
    [{ sub: { 32: 2n ** 60n, 40: 10n } }, /VMCOREINFO lies outside the file/],
    [{ sub: { 32: 4096n, 40: 2n ** 60n } }, /VMCOREINFO lies outside the file/],
    [{ sub: { 48: 2n ** 60n, 56: 10n } }, /the ELF notes lies? outside the file/],
    [{ sub: split }, /one part of a split dump, with pages 5 to 1 of 1/],
    [{ descriptor: { offset: 2n ** 63n } }, /ends before its last page/],
    [{ descriptor: { offset: 0n } }, /ends before its last page/],
  ];
  for (const [fields, message] of cases) assert.match(open(kdump(fields)).damage[0]!, message);
});

Deno.test("a kdump's part of a split dump holds its own pages", () => {
  const bytes = kdump({ pages: 3, sub: { 8: 1n << 32n, 80: 2n, 88: 3n } });
  bytes[2 * PAGE] = 7;
  bytes[3 * PAGE] = 7;
  const { memory } = open(bytes);
  assert.equal(memory.read(0, 1), undefined);
  assert.equal(memory.read(PAGE, 1), undefined);
  assert.equal(memory.read(2 * PAGE, 1)?.[0], 7);
});

Deno.test("a kdump's pages left out read as zeros only where nothing else was left out", () => {
  for (const [level, expected] of [[0n, undefined], [1n, 0], [2n, undefined], [31n, undefined]]) {
    const bytes = kdump({ pages: 2, sub: { 8: level as bigint } });
    bytes[2 * PAGE] = 3;
    const { memory } = open(bytes);
    assert.equal(memory.read(0, 1)?.[0], 7);
    assert.equal(memory.read(PAGE, 1)?.[0], expected, `level ${level}`);
    assert.equal(memory.undecodable, 0);
  }
});

Deno.test("a kdump's page that is damaged or expands is absent, and counted", () => {
  const page = new Uint8Array(PAGE).fill(3);
  const bomb = new Uint8Array(64 * 1024 * 1024);
  const ZLIB = 1;
  const LZO = 2;
  const SNAPPY = 4;
  const ZSTD = 0x20;
  const cases: [string, number, Uint8Array][] = [
    ["zlib bomb", ZLIB, deflateSync(bomb).subarray(0, 8000)],
    ["zlib, short", ZLIB, deflateSync(page.subarray(1))],
    ["zlib, long", ZLIB, deflateSync(new Uint8Array(PAGE + 1))],
    ["zlib, cut", ZLIB, deflateSync(page).subarray(0, 10)],
    ["zstd bomb", ZSTD, zstdCompressSync(bomb)],
    ["zstd, short", ZSTD, zstdCompressSync(page.subarray(1))],
    // A frame that asks for a window of 1 GiB.
    ["zstd, wide", ZSTD, new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0, 1, 0, 0])],
    ["snappy bomb", SNAPPY, new Uint8Array([0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1])],
    ["lzo, endless", LZO, new Uint8Array(4000)],
    ["plain, short", 0, new Uint8Array(100)],
    ["plain, long", 0, new Uint8Array(8000)],
    ["too long", ZLIB, new Uint8Array(20_000)],
  ];
  for (const [what, flags, data] of cases) {
    const { memory } = open(kdump({ flags, data: new Uint8Array(data) }));
    assert.equal(memory.read(0, 16), undefined, what);
    assert.equal(memory.read(0, 16), undefined, what);
    assert.equal(memory.undecodable, 1, what);
    assert.deepEqual(searchOne(memory, text("x")), [], what);
  }
  for (
    const [flags, data] of [[ZLIB, deflateSync(page)], [ZSTD, zstdCompressSync(page)]] as const
  ) {
    const { memory } = open(kdump({ flags, data: new Uint8Array(data) }));
    assert.deepEqual(memory.read(0, PAGE), page);
  }
});

/** A flattened file with pieces at given offsets. */
function flat(...pieces: [offset: bigint, length: bigint, data?: Uint8Array][]): Uint8Array {
  const head = new Uint8Array(PAGE);
  head.set(text("makedumpfile"));
  return join(
    head,
    ...pieces.flatMap(([offset, length, data]) => {
      const view = new DataView(new ArrayBuffer(16));
      view.setBigInt64(0, offset);
      view.setBigInt64(8, length);
      return [new Uint8Array(view.buffer), data ?? new Uint8Array()];
    }),
  );
}

Deno.test("openMemory() refuses a flattened file without a dump in it", () => {
  const none = /a flattened file of a dump, but there is none in it/;
  const last = 2n ** 63n - 1n;
  const cases = [
    flat(),
    flat([-1n, -1n]),
    flat([0n, 5n, text("hello")], [-1n, -1n]),
    flat([0n, 0n]),
    flat([0n, -5n]),
    flat([-5n, 5n]),
    flat([last, last]),
    flat([0n, last, text("hello")]),
    flat([2n ** 52n, 10n, text("0123456789")], [-1n, -1n]),
    // Not a flattened file once more.
    flat([0n, BigInt(PAGE), flat().slice(0, PAGE)], [-1n, -1n]),
  ];
  for (const bytes of cases) assert.throws(() => open(bytes), none);
});

Deno.test("a flattened dump that was cut has no zeros in place of what it lost", () => {
  const whole = kdump();
  const piece = (start: number, end: number) =>
    [BigInt(start), BigInt(end - start), whole.slice(start, end)] as [bigint, bigint, Uint8Array];
  const end = [-1n, -1n] as [bigint, bigint];
  assert.equal(
    open(flat(piece(0, 5 * PAGE), piece(5 * PAGE, 6 * PAGE), end)).memory.read(0, 1)?.[0],
    7,
  );
  const hole = [piece(0, 5 * PAGE), piece(5 * PAGE + 100, 6 * PAGE)];
  assert.equal(open(flat(...hole, end)).memory.read(0, 1)?.[0], 0);
  const cut = open(flat(...hole));
  assert.match(cut.damage[0]!, /end mark is missing/);
  assert.equal(cut.memory.read(0, 1), undefined);
});

Deno.test("a zlib stream that expands without end takes no memory to speak of", () => {
  const lime = join(header("EMiL", 1, 0n, BigInt(2 ** 30) - 1n), new Uint8Array(2 ** 28));
  const bytes = new Uint8Array(deflateSync(lime, { level: 9 }));
  assert.ok(bytes.length < 2 ** 19);
  const { memory, damage, wrapping } = open(bytes);
  assert.deepEqual(wrapping, ["zlib"]);
  assert.match(damage[0]!, /cut short by the end of the file/);
  assert.equal(memory.read(2 ** 27, 1)?.[0], 0);
  const cut = open(bytes.slice(0, bytes.length / 2));
  assert.match(cut.damage[0]!, /compressed data is cut short/);
  assert.equal(cut.memory.read(2 ** 30 - 1, 1), undefined);
});

Deno.test("openMemory() takes what only looks like zlib for raw memory", () => {
  const bytes = new Uint8Array(1024 * 1024).fill(0xff);
  bytes.set([0x78, 0x9c]);
  const { memory, wrapping } = open(bytes);
  assert.deepEqual([memory.format, wrapping, memory.read(0, 1)], [
    "raw",
    [],
    new Uint8Array([0x78]),
  ]);
});
