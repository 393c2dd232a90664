import { zlib } from "./zlib.ts";
import type { Block, BlockSource } from "./block_memory.ts";
import { type CpuState, readMachineNotes } from "./elf_core.ts";
import { ImageError } from "./image_error.ts";
import type { ByteReader } from "./image_file.ts";
import { Inflater } from "./inflater.ts";
import { decodeLzo } from "./lzo.ts";
import { PageBitmap } from "./page_bitmap.ts";
import type { AddressRange } from "./physical_memory.ts";
import { decodeSnappy } from "./snappy.ts";

/** `KDUMP_SIGNATURE`. */
export const KDUMP_MAGIC = [0x4b, 0x44, 0x55, 0x4d, 0x50, 0x20, 0x20, 0x20] as const;

/** A page, which is also the format's block. */
const PAGE = 4096;
/** `struct disk_dump_header` and `struct kdump_sub_header` of 64-bit machines. */
const HEADER_SIZE = 464;
const SUB_HEADER_SIZE = 104;
const DESCRIPTOR_SIZE = 24;
/** 16 TiB. */
const MAX_PAGES = 2 ** 32;
const MAX_NOTE_BYTES = 64 * 1024 * 1024;
/** Compressed pages are stored only where that is shorter. */
const MAX_STORED = 2 * PAGE;

const ZLIB = 0x1;
const LZO = 0x2;
const SNAPPY = 0x4;
const INCOMPLETE = 0x8;
const ZSTD = 0x20;
/** `dump_level`: pages of zeros were left out, and nothing else. */
const ONLY_ZEROS_LEFT_OUT = 1;
/** Window of 8 MiB, which every decoder is to allow (RFC 8878, 3.1.1.1.2). More only takes memory. */
const MAX_ZSTD_WINDOW_LOG = 23;

/**
 * The compressed format of kdump (makedumpfile, IMPLEMENTATION and diskdump_mod.h; QEMU writes it
 * too, dump/dump.c): a header, a bitmap of the pages that there are, one of those in the file, and for
 * each of these a descriptor of its compressed bytes.
 *
 * A page that was left out is not in the image. Only where the dump level says that nothing but
 * pages of zeros was left out do they read as zeros.
 */
export class Kdump implements BlockSource {
  readonly format = "kdump";
  readonly ranges: readonly AddressRange[];
  readonly cpus: readonly CpuState[];
  readonly vmcoreinfo: string | undefined;
  /** Damage that was worked around, one sentence each. */
  readonly damage: readonly string[];
  #source: ByteReader;
  /** Pages that can be read. */
  #known: PageBitmap;
  /** Pages that have a descriptor. */
  #stored: PageBitmap;
  /** Offset of the first descriptor, and how many pages have one in an earlier part of the dump. */
  #descriptors: number;
  #skipped: number;
  /** Pages from and up to which (exclusive) this file holds, of all parts of a dump. */
  #first: number;
  #end: number;
  #inflater = new Inflater();
  /** Where the page of zeros is that many pages share. */
  #zeroAt = -1;

  /**
   * Reads headers and bitmaps.
   *
   * @throws {ImageError} when they are not those of such a dump of an x86-64 machine.
   */
  constructor(source: ByteReader) {
    const fail = (why: string) =>
      new ImageError(`Cannot read ${JSON.stringify(source.name)}: ${why}`);
    const damage: string[] = [];
    const header = source.read(0, HEADER_SIZE);
    if (header === undefined) {
      throw fail(`kdump header needs ${HEADER_SIZE} bytes, file has ${source.size}`);
    }
    const view = new DataView(header.buffer, header.byteOffset, HEADER_SIZE);
    const machine = new TextDecoder("latin1").decode(header.subarray(272, 337)).replace(
      /\0.*/s,
      "",
    );
    if (machine !== "" && machine !== "x86_64") {
      throw fail(`kdump is of machine ${JSON.stringify(machine)}, expected x86_64`);
    }
    const version = view.getInt32(8, true);
    const blockSize = view.getInt32(428, true);
    if (blockSize !== PAGE) throw fail(`kdump has blocks of ${blockSize} bytes, expected ${PAGE}`);
    const subBlocks = view.getUint32(432, true);
    const bitmapBlocks = view.getUint32(436, true);
    if ((view.getUint32(424, true) & INCOMPLETE) !== 0) {
      damage.push("the dump is marked as incomplete");
    }

    const sub = source.read(PAGE, SUB_HEADER_SIZE);
    if (sub === undefined || subBlocks === 0) throw fail("kdump has no sub header");
    const more = new DataView(sub.buffer, sub.byteOffset, SUB_HEADER_SIZE);
    const number = (at: number) => Number(more.getBigUint64(at, true));
    const pages = version >= 6 ? number(96) : view.getUint32(440, true);
    if (pages === 0 || pages > MAX_PAGES) {
      throw fail(`kdump says it has ${pages} pages, expected 1 to ${MAX_PAGES}`);
    }
    const bitmapsAt = (1 + subBlocks) * PAGE;
    const bitmapSize = bitmapBlocks / 2 * PAGE;
    if (bitmapSize * 8 < pages) {
      throw fail(`kdump bitmaps of ${bitmapBlocks} blocks are too short for ${pages} pages`);
    }
    if (bitmapsAt + 2 * bitmapSize > source.size) {
      throw fail(`kdump bitmaps end outside the file of ${source.size} bytes`);
    }
    const present = new PageBitmap(source, bitmapsAt, pages);
    this.#stored = new PageBitmap(source, bitmapsAt + bitmapSize, pages);
    if (this.#stored.count === 0) throw fail("kdump holds no page");
    this.#known = more.getInt32(8, true) === ONLY_ZEROS_LEFT_OUT ? present : this.#stored;
    this.ranges = present.runs().map(({ start, end }) => ({
      start: start * PAGE,
      end: end * PAGE,
    }));

    this.#first = 0;
    this.#end = pages;
    if (version >= 2 && more.getInt32(12, true) !== 0) {
      this.#first = version >= 6 ? number(80) : number(16);
      this.#end = Math.min(pages, version >= 6 ? number(88) : number(24));
      damage.push(
        `it is one part of a split dump, with pages ${this.#first} to ${this.#end} of ${pages}`,
      );
    }
    this.#skipped = this.#stored.rank(this.#first);
    this.#source = source;
    this.#descriptors = bitmapsAt + bitmapBlocks * PAGE;
    this.#checkEnd(damage);

    const stretch = (what: string, offset: number, size: number) => {
      if (offset === 0 || size === 0) return undefined;
      const bytes = size > MAX_NOTE_BYTES ? undefined : source.read(offset, size);
      if (bytes === undefined) damage.push(`${what} lies outside the file or is too long`);
      return bytes;
    };
    const text = version >= 3 ? stretch("VMCOREINFO", number(32), number(40)) : undefined;
    const notes = version >= 4 ? stretch("the ELF notes", number(48), number(56)) : undefined;
    const state = notes && readMachineNotes(notes);
    this.cpus = state?.cpus ?? [];
    this.vmcoreinfo = text === undefined
      ? state?.vmcoreinfo
      : new TextDecoder("latin1").decode(text);
    this.damage = damage;
  }

  seek(address: number): Block | undefined {
    const page = this.#known.next(Math.max(this.#first, Math.floor(address / PAGE)));
    if (page === undefined || page >= this.#end) return undefined;
    return { start: page * PAGE, end: (page + 1) * PAGE, key: page };
  }

  decode({ key: page }: Block): Uint8Array | undefined {
    if (!this.#stored.has(page)) return new Uint8Array(PAGE);
    const descriptor = this.#descriptor(page);
    if (descriptor === undefined) return undefined;
    const { offset, size, flags } = descriptor;
    if (offset === this.#zeroAt) return new Uint8Array(PAGE);
    if (size > MAX_STORED) return undefined;
    const stored = this.#source.read(offset, size);
    const bytes = stored && this.#decompress(stored, flags);
    if (bytes?.length === PAGE && isZero(bytes)) this.#zeroAt = offset;
    return bytes;
  }

  /** Where a page with a descriptor lies; undefined where that is outside the file. */
  #descriptor(page: number): { offset: number; size: number; flags: number } | undefined {
    const index = this.#stored.rank(page) - this.#skipped;
    const at = this.#descriptors + index * DESCRIPTOR_SIZE;
    const bytes = this.#source.read(at, DESCRIPTOR_SIZE);
    if (bytes === undefined) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, DESCRIPTOR_SIZE);
    const offset = Number(view.getBigUint64(0, true));
    const size = view.getUint32(8, true);
    // A dump that ran out of space has descriptors of zeros.
    if (offset === 0 || offset + size > this.#source.size) return undefined;
    return { offset, size, flags: view.getUint32(12, true) };
  }

  /** Pages are stored in order, so a file that was cut lacks the last. */
  #checkEnd(damage: string[]): void {
    const page = this.#stored.last(this.#end);
    if (page !== undefined && page >= this.#first && this.#descriptor(page) === undefined) {
      damage.push("the file ends before its last page");
    }
  }

  /** The bytes of a page; undefined where they cannot be decoded. */
  #decompress(stored: Uint8Array, flags: number): Uint8Array | undefined {
    if (flags & ZLIB) return this.#inflater.inflate(stored, PAGE);
    if (flags & LZO) return decodeLzo(stored, PAGE);
    if (flags & SNAPPY) return decodeSnappy(stored, PAGE);
    if (flags & ZSTD) return decodeZstd(stored, PAGE);
    return stored.slice();
  }
}

/** A zstd frame of exactly `length` bytes; undefined where it is none. */
function decodeZstd(bytes: Uint8Array, length: number): Uint8Array | undefined {
  const params = { [zlib().constants.ZSTD_d_windowLogMax]: MAX_ZSTD_WINDOW_LOG };
  try {
    const page = zlib().zstdDecompressSync(bytes, { maxOutputLength: length, params });
    return page.length === length ? new Uint8Array(page) : undefined;
  } catch {
    // Whatever the library minds, the frame is damaged.
    return undefined;
  }
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
