import type { AddressSpace } from "../kernel/address_space.ts";
import { mtForEach } from "../kernel/maple_tree.ts";
import { type FaultReason, MemoryFault } from "../kernel/memory_fault.ts";
import type { KernelObject, Program } from "../kernel/program.ts";
import { xaLoad } from "../kernel/xarray.ts";
import { BrokenList } from "../kernel/lists.ts";
import type { ArgumentReader, MissingReason, ReadResult } from "../uapi/argument.ts";
import { isUnreadable, readable } from "./diagnostics.ts";
import { pageFrameOf } from "./page_frames.ts";

const PAGE_SIZE = 4096;
/** PATH_MAX, the NUL included. */
const MAX_PATH = 4096;
/** No argument is longer ({@linkcode ArgumentReader.bytes}). */
const MAX_BYTES = 16384;
/** More of a command line is cut: it can have megabytes. */
const MAX_CMDLINE = 128 * 1024;
/** `vm.max_map_count` is 65,530 unless raised. */
const MAX_VMAS = 1_000_000;

/** Flags of `vm_area_struct.vm_flags` (`include/linux/mm.h`). */
const VM_ACCESS = 0x7n;
const VM_UFFD_MISSING = 0x200n;
const VM_HUGETLB = 0x400000n;
/** TMPFS_MAGIC of `include/uapi/linux/magic.h`: memfds and shared anonymous memory too. */
const TMPFS_MAGIC = 0x01021994n;

/** Bytes, or why there are none. */
type Part = Uint8Array | MissingReason;

/**
 * Memory of a process in an image, at the addresses that the process uses. It reads what the
 * process would read: pages that its page tables map; where they map none, the page cache of the
 * file that is mapped there, and zeros in private memory that was never touched, which the kernel
 * fills when it is. Never throws.
 *
 * What cannot be read has its reason: `swapped`, `not_in_image`, `file_backed` (of a mapped file,
 * and not in the page cache), `unmapped` (nothing is mapped, or nothing that can be read).
 */
export class UserMemory implements ArgumentReader {
  readonly #mm: KernelObject;
  readonly #space: AddressSpace | MissingReason;
  #areas: Areas | undefined;

  /** Of a `struct mm_struct`. */
  constructor(mm: KernelObject) {
    this.#mm = mm;
    this.#space = userSpace(mm);
  }

  /** The string at `address` without its NUL; `invalid` where none ends within 4096 bytes. */
  path(address: bigint): ReadResult {
    const bytes = new Uint8Array(MAX_PATH);
    for (let done = 0; done < MAX_PATH;) {
      const at = address + BigInt(done);
      const take = Math.min(MAX_PATH - done, PAGE_SIZE - Number(at & 0xfffn));
      const part = this.#part(at, take);
      if (typeof part === "string") return { ok: false, reason: part };
      const end = part.indexOf(0);
      if (end >= 0 && done === 0) return { ok: true, bytes: part.subarray(0, end) };
      bytes.set(end < 0 ? part : part.subarray(0, end), done);
      if (end >= 0) return { ok: true, bytes: bytes.subarray(0, done + end) };
      done += take;
    }
    return { ok: false, reason: "invalid" };
  }

  bytes(address: bigint, length: number): ReadResult {
    if (!Number.isInteger(length) || length < 0 || length > MAX_BYTES) {
      return { ok: false, reason: "invalid" };
    }
    const { bytes, reason } = this.#read(address, length);
    return reason === undefined ? { ok: true, bytes } : { ok: false, reason };
  }

  /**
   * The arguments that the process was started with, from `mm->arg_start` to `arg_end`: the strings
   * with their NULs, the first of them argv[0]. The process can write there.
   *
   * `complete` is false where they were cut: by memory that cannot be read, which leaves what is
   * before it, or after 128 KiB.
   */
  cmdline(): { bytes: Uint8Array; complete: boolean } {
    const range = readable(() => ({
      start: this.#mm.bigint("arg_start"),
      end: this.#mm.bigint("arg_end"),
    }));
    if (range === undefined || range.end < range.start) {
      return { bytes: new Uint8Array(), complete: false };
    }
    const length = Number(range.end - range.start);
    const { bytes, reason } = this.#read(range.start, Math.min(length, MAX_CMDLINE));
    return { bytes, complete: reason === undefined && length <= MAX_CMDLINE };
  }

  /** The bytes up to the first that cannot be read, and why it cannot. */
  #read(address: bigint, length: number): { bytes: Uint8Array; reason?: MissingReason } {
    if (length === 0) return { bytes: new Uint8Array() };
    let bytes: Uint8Array | undefined;
    for (let done = 0; done < length;) {
      const at = address + BigInt(done);
      const take = Math.min(length - done, PAGE_SIZE - Number(at & 0xfffn));
      const part = this.#part(at, take);
      if (typeof part === "string") {
        return { bytes: bytes?.subarray(0, done) ?? new Uint8Array(), reason: part };
      }
      if (take === length) return { bytes: part };
      bytes ??= new Uint8Array(length);
      bytes.set(part, done);
      done += take;
    }
    return { bytes: bytes! };
  }

  /** `length` bytes within one page. */
  #part(address: bigint, length: number): Part {
    if (address === 0n) return "null";
    const space = this.#space;
    if (typeof space === "string") return space;
    // The upper half is the kernel's, and these tables map it too: no process reads there.
    if (address < 0n || address >= (space.pageTable.levels === 5 ? 1n << 56n : 1n << 47n)) {
      return "unmapped";
    }
    try {
      return space.read(address, length);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      return error.reason === "unmapped"
        ? this.#absentPart(address, length)
        : missingReason(error.reason);
    }
  }

  /** Bytes of a page that the page tables do not map. */
  #absentPart(address: bigint, length: number): Part {
    this.#areas ??= new Areas(this.#mm);
    const vma = this.#areas.find(address);
    // Where the areas could not all be read, nobody knows what is mapped here.
    if (vma === undefined) return this.#areas.complete ? "unmapped" : "not_in_image";
    try {
      const flags = vma.bigint("vm_flags");
      if ((flags & VM_ACCESS) === 0n) return "unmapped";
      const file = vma.tryDeref("vm_file");
      if (file !== undefined) {
        // Its page cache counts in larger pages (`hugetlbfs_pagecache_present`).
        if ((flags & VM_HUGETLB) !== 0n) return "file_backed";
        return cachedPart(this.#mm.program, { vma, file, address, length });
      }
      // `vma_is_anonymous()`; others, such as vvar, fill their pages as they like, and so does
      // whoever handles the faults of this area through userfaultfd.
      const untouched = vma.pointer("vm_ops") === 0n && (flags & VM_UFFD_MISSING) === 0n;
      return untouched ? new Uint8Array(length) : "unmapped";
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return "not_in_image";
    }
  }
}

/**
 * Mapped areas of a `struct mm_struct`, ascending: `for_each_vma` of `include/linux/mm.h`.
 *
 * @throws {BrokenList} when tree or list do not hold together; what came before is good.
 * @throws {MemoryFault} when a part of them cannot be read.
 */
export function* vmasOf(mm: KernelObject): Generator<KernelObject> {
  const { program } = mm;
  // A maple tree since Linux 6.1 (763ecb035029), which also removed the list.
  if (mm.has("mm_mt")) {
    for (const { value } of mtForEach(mm.embedded("mm_mt"))) {
      yield program.object("vm_area_struct", value);
    }
    return;
  }
  const seen = new Set<bigint>();
  for (let vma = mm.tryDeref("mmap"); vma !== undefined; vma = vma.tryDeref("vm_next")) {
    if (seen.has(vma.address)) {
      throw new BrokenList(`areas of mm at 0x${mm.address.toString(16)} loop`);
    }
    if (seen.size >= MAX_VMAS) {
      throw new BrokenList(`mm at 0x${mm.address.toString(16)} has more than ${MAX_VMAS} areas`);
    }
    seen.add(vma.address);
    yield vma;
  }
}

/** The areas of one process, to be searched by address. */
class Areas {
  /** False where the walk over the areas was cut short. */
  readonly complete: boolean;
  #areas: { first: bigint; last: bigint; vma: KernelObject }[] = [];

  constructor(mm: KernelObject) {
    const whole = readable(() => {
      this.#collect(mm);
      return true;
    });
    this.complete = whole ?? false;
  }

  find(address: bigint): KernelObject | undefined {
    return this.#areas.find(({ first, last }) => first <= address && address <= last)?.vma;
  }

  #collect(mm: KernelObject): void {
    if (!mm.has("mm_mt")) {
      for (const vma of vmasOf(mm)) {
        this.#areas.push({ first: vma.bigint("vm_start"), last: vma.bigint("vm_end") - 1n, vma });
      }
      return;
    }
    // The tree has the ranges: the areas need not be read for them.
    for (const { first, last, value } of mtForEach(mm.embedded("mm_mt"))) {
      this.#areas.push({ first, last, vma: mm.program.object("vm_area_struct", value) });
    }
  }
}

/** The address space of `mm->pgd`, or why there is none. */
function userSpace(mm: KernelObject): AddressSpace | MissingReason {
  const { memory } = mm.program;
  try {
    return memory.withRoot(memory.translate(mm.pointer("pgd")));
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return "not_in_image";
  }
}

/** Bytes at an address of a mapped file, from the page cache. */
function cachedPart(
  program: Program,
  { vma, file, address, length }: {
    vma: KernelObject;
    file: KernelObject;
    address: bigint;
    length: number;
  },
): Part {
  const mapping = file.deref("f_mapping");
  // `linear_page_index()`
  const index = vma.bigint("vm_pgoff") + (address - vma.bigint("vm_start") >> 12n);
  const entry = xaLoad(mapping.embedded("i_pages"), index);
  if (entry === undefined || (entry & 1n) === 1n) {
    const inode = mapping.deref("host");
    if (inode.deref("i_sb").bigint("s_magic") !== TMPFS_MAGIC) return "file_backed";
    // Such files have no other home: a value is a place in swap, and a hole reads as zeros.
    if (entry !== undefined) return "swapped";
    return index << 12n < inode.bigint("i_size") ? new Uint8Array(length) : "unmapped";
  }
  const frame = pageFrameOf(program, { entry, mapping: mapping.address, index });
  if (frame === undefined) return "file_backed";
  const bytes = program.memory.physical.read(frame * PAGE_SIZE + Number(address & 0xfffn), length);
  return bytes ?? "not_in_image";
}

function missingReason(reason: FaultReason): MissingReason {
  switch (reason) {
    case "swapped":
    case "not_in_image":
      return reason;
    case "over_budget":
      return "not_in_image";
    default:
      return "unmapped";
  }
}
