/**
 * Writes memory in the formats that responders have. Each writer follows its format's published
 * description, not the reader under test.
 *
 * @module
 */

import snappyjs from "snappyjs";
import { Buffer } from "node:buffer";
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createDeflate, deflateSync, zstdCompressSync } from "node:zlib";
import type { AddressRange } from "../../lib/memory/physical_memory.ts";
import { Random } from "../scan/mutations.ts";

const PAGE = 4096;
const GIB = 2 ** 30;
const FOUR_GIB = 4 * GIB;

/** The memory of a machine, to be written to an image. */
export interface SourceMemory {
  /** One past the last address. */
  readonly size: number;
  /** System RAM, as `/proc/iomem` lists it; whole pages. */
  readonly ram: readonly AddressRange[];
  /** Text of VMCOREINFO. */
  readonly vmcoreinfo: string;
  /** Virtual address at which all memory is mapped. */
  readonly directMap: bigint;
  /** What lies at physical addresses; zeros where there is nothing. */
  bytes(start: number, end: number): Uint8Array;
}

/** The pages of RAM. */
function* pagesOf(memory: SourceMemory): Generator<{ address: number; bytes: Uint8Array }> {
  for (const { start, end } of memory.ram) {
    for (let address = start; address < end; address += PAGE) {
      yield { address, bytes: memory.bytes(address, address + PAGE) };
    }
  }
}

/** A file that is written at any offset; zeros become holes. */
class OutputFile {
  #file: Deno.FsFile;
  #at = 0;

  constructor(path: string) {
    this.#file = Deno.openSync(path, { write: true, create: true, truncate: true });
  }

  get position(): number {
    return this.#at;
  }

  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const part = bytes.subarray(done, done + 64 * 1024);
      if (!isZero(part)) {
        this.#file.seekSync(this.#at, Deno.SeekMode.Start);
        for (let n = 0; n < part.length;) n += this.#file.writeSync(part.subarray(n));
      }
      this.#at += part.length;
      done += part.length;
    }
  }

  seek(offset: number): void {
    this.#at = offset;
  }

  [Symbol.dispose](): void {
    this.#file.truncateSync(Math.max(this.#at, this.#file.statSync().size));
    this.#file.close();
  }
}

function isZero(bytes: Uint8Array): boolean {
  const words = new Uint8Array(bytes.length);
  return Buffer.compare(bytes, words) === 0;
}

/** Copies of a range of at most `most` bytes, in turn. */
function* cut({ start, end }: AddressRange, most: number): Generator<AddressRange> {
  for (let at = start; at < end; at += most) yield { start: at, end: Math.min(at + most, end) };
}

/** `lime_mem_range_header` (LiME, doc/README.md). */
function limeHeader(magic: string, version: number, { start, end }: AddressRange): Uint8Array {
  const header = new Uint8Array(32);
  const view = new DataView(header.buffer);
  header.set(new TextEncoder().encode(magic));
  view.setUint32(4, version, true);
  view.setBigUint64(8, BigInt(start), true);
  view.setBigUint64(16, BigInt(end - 1), true);
  return header;
}

/** LiME, `format=lime`. */
export function writeLime(path: string, memory: SourceMemory): void {
  using file = new OutputFile(path);
  for (const range of memory.ram) {
    file.write(limeHeader("EMiL", 1, range));
    for (const { start, end } of cut(range, GIB)) file.write(memory.bytes(start, end));
  }
}

/** LiME, `format=padded`: zeros where there is no RAM. */
export function writePadded(path: string, memory: SourceMemory): void {
  using file = new OutputFile(path);
  for (const range of memory.ram) {
    file.seek(range.start);
    for (const { start, end } of cut(range, GIB)) file.write(memory.bytes(start, end));
  }
}

/** LiME, `compress=1`: what it would write else, as one zlib stream (src/deflate.c). */
export async function writeDeflated(path: string, from: string): Promise<void> {
  const deflate = createDeflate({ windowBits: 11, memLevel: 5 });
  await pipeline(createReadStream(from), deflate, createWriteStream(path));
}

/** AVML (src/image.rs): blocks of at most 16 MiB, without those that are all zeros. */
export function writeAvml(path: string, memory: SourceMemory, compress: boolean): void {
  using file = new OutputFile(path);
  for (const range of memory.ram) {
    for (const block of cut(range, 0x1000 * 0x1000)) {
      const bytes = memory.bytes(block.start, block.end);
      if (isZero(bytes)) continue;
      file.write(compress ? limeHeader("AVML", 2, block) : limeHeader("EMiL", 1, block));
      if (compress) {
        const start = file.position;
        for (const chunk of snappyFrames(bytes)) file.write(chunk);
        const length = new Uint8Array(8);
        new DataView(length.buffer).setBigUint64(0, BigInt(file.position - start), true);
        file.write(length);
      } else {
        file.write(bytes);
      }
    }
  }
}

/** Snappy's framing format (google/snappy, framing_format.txt), chunks of 64 KiB. */
function* snappyFrames(bytes: Uint8Array): Generator<Uint8Array> {
  yield new Uint8Array([0xff, 6, 0, 0, ...new TextEncoder().encode("sNaPpY")]);
  for (const { start, end } of cut({ start: 0, end: bytes.length }, 65536)) {
    const plain = bytes.subarray(start, end);
    const packed = snappyjs.compress(plain.slice());
    // As snap does: what does not shrink by an eighth stays as it is.
    const isPacked = packed.length < plain.length - plain.length / 8;
    const data = isPacked ? packed : plain;
    const chunk = new Uint8Array(8 + data.length);
    const view = new DataView(chunk.buffer);
    view.setUint32(0, (isPacked ? 0 : 1) | (data.length + 4) << 8, true);
    const crc = crc32cBitwise(plain);
    view.setUint32(4, (((crc >>> 15) | (crc << 17)) >>> 0) + 0xa282ead8, true);
    chunk.set(data, 8);
    yield chunk;
  }
}

/** CRC-32C, a byte at a time. */
function crc32cBitwise(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

const CRC_TABLE = Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0x82f63b78 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

/** How {@linkcode writeKdump} compresses pages. */
export type KdumpCodec = "none" | "zlib" | "lzo" | "snappy" | "zstd";

const CODECS: Record<KdumpCodec, { flag: number; pack: (page: Uint8Array) => Uint8Array }> = {
  none: { flag: 0, pack: (page) => page },
  zlib: { flag: 1, pack: (page) => deflateSync(page) },
  lzo: { flag: 2, pack: packLzo },
  snappy: { flag: 4, pack: (page) => snappyjs.compress(page.slice()) },
  zstd: { flag: 0x20, pack: (page) => zstdCompressSync(page) },
};

/**
 * LZO1X (Linux, Documentation/staging/lzo.rst), as simple as can be: a page up to its last byte that
 * is not zero as literals, then one match for the zeros. A page without such an end grows.
 */
function packLzo(page: Uint8Array): Uint8Array {
  const used = page.findLastIndex((byte) => byte !== 0) + 2;
  const zeros = page.length - used;
  if (zeros < 34 || used < 19) return page;
  const long = (count: number) => {
    const full = Math.ceil(count / 255) - 1;
    return [...new Uint8Array(full), count - 255 * full];
  };
  return new Uint8Array([
    0,
    ...long(used - 18),
    ...page.subarray(0, used),
    0x20,
    ...long(zeros - 33),
    ...[0, 0],
    ...[0x11, 0, 0],
  ]);
}

/** The compressed format of kdump (makedumpfile, IMPLEMENTATION), header version 6. */
export function writeKdump(path: string, memory: SourceMemory, codec: KdumpCodec): void {
  using file = new OutputFile(path);
  const { flag, pack } = CODECS[codec];
  const pages = memory.size / PAGE;
  const bitmapBlocks = Math.ceil(pages / 8 / PAGE);
  const info = new TextEncoder().encode(memory.vmcoreinfo);
  const subBlocks = 1 + Math.ceil(info.length / PAGE);
  const header = new Uint8Array((1 + subBlocks) * PAGE);
  const view = new DataView(header.buffer);
  header.set(new TextEncoder().encode("KDUMP   "));
  view.setInt32(8, 6, true);
  header.set(new TextEncoder().encode("x86_64"), 272);
  view.setInt32(428, PAGE, true);
  view.setInt32(432, subBlocks, true);
  view.setUint32(436, 2 * bitmapBlocks, true);
  view.setUint32(440, pages, true);
  view.setBigUint64(PAGE + 32, BigInt(2 * PAGE), true);
  view.setBigUint64(PAGE + 40, BigInt(info.length), true);
  view.setBigUint64(PAGE + 96, BigInt(pages), true);
  header.set(info, 2 * PAGE);
  file.write(header);
  const bitmap = new Uint8Array(bitmapBlocks * PAGE);
  let count = 0;
  for (const { address } of pagesOf(memory)) {
    bitmap[address / PAGE >>> 3]! |= 1 << (address / PAGE & 7);
    count++;
  }
  file.write(bitmap);
  file.write(bitmap);
  const descriptors = new DataView(new ArrayBuffer(24 * count));
  const table = file.position;
  let at = 0;
  let zeroAt = -1;
  const add = (offset: number, size: number, flags: number) => {
    descriptors.setBigUint64(at, BigInt(offset), true);
    descriptors.setUint32(at + 8, size, true);
    descriptors.setUint32(at + 12, flags, true);
    at += 24;
  };
  file.seek(table + descriptors.byteLength);
  for (const { bytes } of pagesOf(memory)) {
    if (isZero(bytes)) {
      if (zeroAt < 0) {
        zeroAt = file.position;
        file.write(bytes);
      }
      add(zeroAt, PAGE, 0);
      continue;
    }
    const packed = pack(bytes);
    const isPacked = packed.length < PAGE;
    add(file.position, isPacked ? packed.length : PAGE, isPacked ? flag : 0);
    file.write(isPacked ? packed : bytes);
  }
  const end = file.position;
  file.seek(table);
  file.write(new Uint8Array(descriptors.buffer));
  file.seek(end);
}

/**
 * A core as the kernel shows it after a crash (fs/proc/vmcore.c), for makedumpfile to read: the
 * kernel's image and all RAM, by virtual and physical address, and VMCOREINFO.
 */
export function writeVmcore(path: string, memory: SourceMemory): void {
  using file = new OutputFile(path);
  const value = (name: string, base: number) =>
    BigInt(
      (base === 16 ? "0x" : "") + new RegExp(`^${name}=(.*)$`, "m").exec(memory.vmcoreinfo)![1]!,
    );
  const stext = value("SYMBOL\\(_stext\\)", 16);
  const imageBase = 0xffffffff80000000n;
  const image = {
    virtual: stext,
    start: Number(stext - imageBase + value("NUMBER\\(phys_base\\)", 10)),
    length: 48 * 1024 * 1024,
  };
  const segments = [
    image,
    ...memory.ram.map(({ start, end }) => ({
      virtual: memory.directMap + BigInt(start),
      start,
      length: end - start,
    })),
  ];
  const info = new TextEncoder().encode(memory.vmcoreinfo);
  const note = new Uint8Array(24 + Math.ceil(info.length / 4) * 4);
  const noteView = new DataView(note.buffer);
  noteView.setUint32(0, 11, true);
  noteView.setUint32(4, info.length, true);
  note.set(new TextEncoder().encode("VMCOREINFO"), 12);
  note.set(info, 24);
  const head = new Uint8Array(64 + 56 * (segments.length + 1));
  const view = new DataView(head.buffer);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 4, true);
  view.setUint16(18, 62, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, segments.length + 1, true);
  let offset = Math.ceil((head.length + note.length) / PAGE) * PAGE;
  const put = (i: number, type: number, fields: (number | bigint)[]) => {
    view.setUint32(64 + 56 * i, type, true);
    fields.forEach((field, n) => view.setBigUint64(72 + 56 * i + 8 * n, BigInt(field), true));
  };
  put(0, 4, [head.length, 0, 0, note.length, note.length, 4]);
  const offsets = segments.map(({ virtual, start, length }, i) => {
    const at = offset;
    put(i + 1, 1, [at, virtual, start, length, length, PAGE]);
    offset += length;
    return at;
  });
  file.write(head);
  file.write(note);
  segments.forEach(({ start, length }, i) => {
    file.seek(offsets[i]!);
    file.write(memory.bytes(start, start + length));
  });
}

/** Where the regions of a VMware machine's memory are, and the tags that say so. */
function vmwareRegions(memory: SourceMemory, holeStart: number) {
  const low = { start: 0, end: Math.min(holeStart, memory.size) };
  const high = { start: FOUR_GIB, end: Math.max(memory.size, FOUR_GIB) };
  const regions = [low, high].filter(({ start, end }) => end > start);
  let page = 0;
  const tags = regions.flatMap(({ start, end }, i) => {
    const number = page;
    page += (end - start) / PAGE;
    return [
      vmwareTag("regionPageNum", [i], number),
      vmwareTag("regionPPN", [i], start / PAGE),
      vmwareTag("regionSize", [i], (end - start) / PAGE),
    ];
  });
  return { regions, tags: [vmwareTag("regionsCount", [], regions.length), ...tags] };
}

/**
 * VMware's `.vmem` and, beside it, the tags of a `.vmss` that say where the regions of the file
 * belong: the PCI hole from 3 to 4 GiB is not in the file.
 */
export function writeVmware(path: string, memory: SourceMemory, holeStart = 3 * GIB): void {
  const { regions, tags } = vmwareRegions(memory, holeStart);
  using file = new OutputFile(path);
  for (const range of regions) {
    for (const { start, end } of cut(range, GIB)) file.write(memory.bytes(start, end));
  }
  Deno.writeFileSync(path.replace(/vmem$/, "vmss"), vmwareState({ memory: tags }));
}

/** VMware's `.vmsn` with the memory in it (`mainMem.useNamedFile = "FALSE"`), its last tag. */
export function writeSnapshot(path: string, memory: SourceMemory, holeStart = 3 * GIB): void {
  const { regions, tags } = vmwareRegions(memory, holeStart);
  const size = regions.reduce((sum, { start, end }) => sum + end - start, 0);
  const last = vmwareBlock("Memory", { indices: [0, 0], size, padding: 1234 });
  const state = vmwareState({ cpu: [], memory: [...tags, last] });
  using file = new OutputFile(path);
  // Without the end mark of the group, which follows the memory.
  file.write(state.subarray(0, -2));
  for (const range of regions) {
    for (const { start, end } of cut(range, GIB)) file.write(memory.bytes(start, end));
  }
  file.write(new Uint8Array(2));
}

/** A tag up to its value, whose length it says; the value is to follow. */
export function vmwareBlock(
  name: string,
  { indices = [], size, padding = 0, compressed = false }: {
    indices?: readonly number[];
    size: number;
    padding?: number;
    compressed?: boolean;
  },
): Uint8Array {
  const head = 2 + name.length + 4 * indices.length;
  const tag = new Uint8Array(head + 18 + padding);
  const view = new DataView(tag.buffer);
  tag[0] = indices.length << 6 | (compressed ? 62 : 63);
  tag[1] = name.length;
  tag.set(new TextEncoder().encode(name), 2);
  indices.forEach((index, i) => view.setUint32(2 + name.length + 4 * i, index, true));
  view.setBigUint64(head, BigInt(size), true);
  view.setBigUint64(head + 8, BigInt(size), true);
  view.setUint16(head + 16, padding, true);
  return tag;
}

/** A tag with a value of 4 bytes. */
export function vmwareTag(name: string, indices: readonly number[], value: number): Uint8Array {
  const text = new TextEncoder().encode(name);
  const tag = new Uint8Array(2 + text.length + 4 * indices.length + 4);
  const view = new DataView(tag.buffer);
  tag[0] = indices.length << 6 | 4;
  tag[1] = text.length;
  tag.set(text, 2);
  indices.forEach((index, i) => view.setUint32(2 + text.length + 4 * i, index, true));
  view.setUint32(tag.length - 4, value, true);
  return tag;
}

/** A `.vmss` with groups of tags. */
export function vmwareState(groups: Record<string, Uint8Array[]>): Uint8Array {
  const names = Object.keys(groups);
  const parts: Uint8Array[] = [];
  const head = new Uint8Array(12 + 80 * names.length);
  const view = new DataView(head.buffer);
  view.setUint32(0, 0xbed2bed2, true);
  view.setUint32(4, 8, true);
  view.setUint32(8, names.length, true);
  parts.push(head);
  let at = head.length;
  names.forEach((name, i) => {
    const start = at;
    head.set(new TextEncoder().encode(name), 12 + 80 * i);
    view.setBigUint64(12 + 80 * i + 64, BigInt(start), true);
    for (const tag of [...groups[name]!, new Uint8Array(2)]) {
      parts.push(tag);
      at += tag.length;
    }
    view.setBigUint64(12 + 80 * i + 72, BigInt(at - start), true);
  });
  return new Uint8Array(Buffer.concat(parts));
}

/**
 * A file as `makedumpfile -F` and QEMU write it (makedumpfile.h, makedumpfile_data_header): a header
 * of 4 KiB, then its pieces, each after its offset and length, here in an order that looks random.
 * With `overwritten`, some bytes are written twice, and the later ones are right.
 */
export function flattened(
  bytes: Uint8Array,
  { seed, overwritten = false }: { seed: number; overwritten?: boolean },
): Uint8Array {
  const random = new Random(seed);
  const pieces: { at: number; data: Uint8Array }[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + 1 + random.below(6000));
    pieces.splice(random.below(pieces.length + 1), 0, { at, data: bytes.subarray(at, end) });
    at = end;
  }
  for (let n = 0; overwritten && n < 20; n++) {
    const at = random.below(bytes.length);
    const data = bytes.slice(at, at + random.below(9000)).map((byte) => byte ^ 0xff);
    pieces.unshift({ at, data });
  }
  const head = new Uint8Array(4096);
  head.set(new TextEncoder().encode("makedumpfile"));
  new DataView(head.buffer).setBigInt64(16, 1n);
  new DataView(head.buffer).setBigInt64(24, 1n);
  const header = (offset: bigint, length: bigint) => {
    const view = new DataView(new ArrayBuffer(16));
    view.setBigInt64(0, offset);
    view.setBigInt64(8, length);
    return new Uint8Array(view.buffer);
  };
  const parts = pieces.filter(({ data }) => data.length > 0)
    .flatMap(({ at, data }) => [header(BigInt(at), BigInt(data.length)), data]);
  return new Uint8Array(Buffer.concat([head, ...parts, header(-1n, -1n)]));
}
