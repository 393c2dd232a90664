/**
 * Damage to memory images, the same for the same seed, and what must hold for the records of a scan
 * whatever the damage.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readElfCore } from "../../lib/memory/elf_core.ts";
import type { MemoryRange } from "../../lib/memory/physical_memory.ts";
import type { IOUringEntry, IOUringStatus, StreamRecord } from "../../lib/record/records.ts";
import { BoundedImage } from "../memory/buffer_image.ts";

/** Numbers that look random, from a seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 up to, but not including, `end`. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ t >>> 15, t | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return Math.floor(((t ^ t >>> 14) >>> 0) / 2 ** 32 * end);
  }

  one<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

const PAGE_SIZE = 4096;
const LONG_RUN = 128 * PAGE_SIZE;
/** How often a scan may read an image: most do once, and one that searches for the kernel eight times. */
export const MAX_READS = 64;
const KERNEL_HALF = 0xff00000000000000n;

/** An image that can be damaged and put right again, many times over. */
export class DamagedImage {
  /** Of which a scan may read so much alone: it takes no longer than that. */
  readonly image: BoundedImage;
  readonly #view: DataView;
  /** Offsets of pages in long runs, which are the kernel's tables of symbols and types. */
  readonly #tables: number[] = [];
  /** Offsets of all other pages. */
  readonly #pages: number[] = [];
  /** Kernel addresses that lie in it somewhere: damage that looks sound. */
  readonly #pointers: bigint[] = [];
  #saved: { at: number; bytes: Uint8Array }[] = [];

  /** Of an ELF core; `bytes` are changed, and put right by {@linkcode DamagedImage.restore}. */
  constructor(bytes: Uint8Array, name: string) {
    this.image = new BoundedImage(bytes, bytes.length * MAX_READS, name);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const range of readElfCore(this.image).ranges) this.#addPages(range);
    for (const page of this.#pages) {
      for (let at = page; at < page + PAGE_SIZE; at += 1032) {
        const value = this.#view.getBigUint64(at, true);
        if (value >= KERNEL_HALF && value < 2n ** 64n - 4096n) this.#pointers.push(value);
      }
    }
  }

  #addPages({ start, end, offset }: MemoryRange): void {
    const pages = end - start >= LONG_RUN ? this.#tables : this.#pages;
    for (let at = 0; at + PAGE_SIZE <= end - start; at += PAGE_SIZE) pages.push(offset + at);
  }

  /** Changes some words of some pages; what was done, in words. */
  damage(random: Random): string {
    const done: string[] = [];
    const pages = 1 + random.below(random.below(8) === 0 ? 40 : 4);
    for (let i = 0; i < pages; i++) {
      const page = random.one(random.below(32) === 0 ? this.#tables : this.#pages);
      this.#saved.push({ at: page, bytes: this.image.bytes.slice(page, page + PAGE_SIZE) });
      // Sometimes the page as a whole, mostly a few words of those that are not zero.
      if (random.below(12) === 0) {
        const value = random.one([0, 0xff, 0x41]);
        this.image.bytes.fill(value, page, page + PAGE_SIZE);
        done.push(`page ${page} is ${value}`);
        continue;
      }
      const words = 1 + random.below(24);
      const used = this.#usedWords(page);
      for (let word = 0; word < words; word++) {
        const at = used.length > 0 && random.below(4) > 0
          ? random.one(used)
          : page + random.below(PAGE_SIZE / 8) * 8;
        const value = this.#hostile(random, this.#view.getBigUint64(at, true));
        this.#view.setBigUint64(at, value, true);
      }
      done.push(`${words} words of page ${page}`);
    }
    return done.join(", ");
  }

  /** Undoes all damage, and lets all be read again. */
  restore(): void {
    for (const { at, bytes } of this.#saved.reverse()) this.image.bytes.set(bytes, at);
    this.#saved = [];
    this.image.asked = 0;
  }

  #usedWords(page: number): number[] {
    const used: number[] = [];
    for (let at = page; at < page + PAGE_SIZE; at += 8) {
      if (this.#view.getBigUint64(at, true) !== 0n) used.push(at);
    }
    return used;
  }

  #hostile(random: Random, old: bigint): bigint {
    switch (random.below(8)) {
      case 0:
        return 0n;
      case 1:
        return 2n ** 64n - 1n;
      case 2:
      case 3:
        return random.one(this.#pointers);
      case 4:
        return BigInt(random.below(300));
      case 5:
        return old ^ 1n << BigInt(random.below(64));
      case 6:
        return old + BigInt(random.one([-64, -8, 1, 2, 8, 16, 64, 4096]));
      default:
        return BigInt.asUintN(64, BigInt(random.below(2 ** 32)) << BigInt(random.below(40)));
    }
  }
}

const HEX = /^0x(0|[1-9a-f][0-9a-f]{0,15})$/;
const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Fails unless every key of a record that is there has a value of its type. */
export function checkRecord(record: StreamRecord): void {
  // What JSON cannot hold would be lost or would throw in the sink.
  assert.deepEqual(JSON.parse(JSON.stringify(record)), record);
  if (record.type === "IOUringStatus") return checkStatus(record);
  assert.equal(record.type, "IOUringEntry");
  checkEntry(record as IOUringEntry);
}

function checkStatus(status: IOUringStatus): void {
  assert.match(status.timestamp, DATE);
  if (status.phase === "end") {
    assert.ok(isCount(status.totals!["entries"]));
    assert.equal(status.complete, status.diagnostics === undefined);
  }
}

function checkEntry(entry: IOUringEntry): void {
  assert.match(entry.ctx_addr, HEX);
  assert.equal(typeof entry.comm, "string");
  for (const key of ["pid", "sq_entries", "cq_entries"] as const) {
    assert.ok(isCount(entry[key]), `${key} is ${entry[key]}`);
  }
  for (const opcode of entry.pending_opcodes) assert.ok(isCount(opcode));
  assert.equal(typeof entry.bypasses_seccomp, "boolean");
  assert.equal(typeof entry.seccomp_active, "boolean");
  for (const owner of entry.owners ?? []) {
    assert.ok(isCount(owner.pid));
    assert.ok(Number.isInteger(owner.fd) && owner.fd >= -1);
  }
  if (entry.created_at !== undefined) assert.match(entry.created_at, DATE);
  const { process } = entry;
  if (process !== undefined) {
    for (const key of ["pid", "tid", "ppid", "uid", "euid", "auid"] as const) {
      assert.ok(isCount(process[key]), `process.${key} is ${process[key]}`);
    }
    for (const key of ["start_time", "filename", "binary_path", "args", "container_id"] as const) {
      assert.equal(typeof process[key], "string", `process.${key}`);
    }
    if (process.start_time !== "") assert.match(process.start_time, DATE);
  }
  for (const list of ["pending", "in_flight", "history"] as const) {
    for (const request of entry[list] ?? []) {
      assert.equal(typeof request.opcode, "string");
      assert.ok(isCount(request.opcode_number));
      assert.match(request.user_data, HEX);
      assert.ok(request.source.length > 0);
      if (request.fd !== undefined) assert.ok(Number.isInteger(request.fd));
      if (request.result !== undefined) assert.ok(Number.isInteger(request.result.res));
    }
  }
  for (const path of [...entry.missing ?? [], ...entry.unverified ?? []]) {
    assert.equal(typeof path, "string");
  }
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
}
