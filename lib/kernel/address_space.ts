import { heldBytes, type PhysicalMemory } from "../memory/physical_memory.ts";
import { type FaultReason, MemoryFault } from "./memory_fault.ts";
import { ReadBudget } from "./read_budget.ts";

/** Root and shape of a set of x86-64 page tables. */
export interface PageTableRoot {
  /** Physical address of the top table, without flags. */
  readonly root: number;
  /** 5 with LA57, else 4. */
  readonly levels: 4 | 5;
  /** The memory-encryption bit that AMD SME sets in entries, or 0n. */
  readonly smeMask: bigint;
}

const PAGE_SIZE = 4096;
/** A single read never has to be larger; a length from hostile memory may claim to be. */
const MAX_READ = 64 * 1024 * 1024;
/** Translations kept. A real scan needs some ten thousand. */
const MAX_CACHED_PAGES = 1 << 20;
/** What a fault costs: to throw and catch an error takes longer than any read. */
const UNITS_PER_FAULT = 8;
/** Bytes whose copying costs one unit of a {@linkcode ReadBudget}. */
const BYTES_PER_UNIT = 64;

/** Entries of a page table of any level. */
const ENTRIES = 512;
const PRESENT = 1;
const PAGE_SIZE_BIT = 1 << 7;
/** `_PAGE_PROTNONE`: resident, but without access (`arch/x86/include/asm/pgtable_types.h`). */
const PROT_NONE = 1 << 8;

/**
 * Virtual memory as x86-64 page tables map it (Intel SDM volume 3, 4.5): 4 or 5 levels, pages of
 * 4 KiB, 2 MiB and 1 GiB. Addresses are bigints; nothing here assumes a direct map.
 */
export class AddressSpace {
  readonly physical: PhysicalMemory;
  readonly pageTable: PageTableRoot;
  /** What may still be read, here and in all spaces made of this one. */
  readonly budget: ReadBudget;
  /** Physical page address, by virtual page number; negative values are faults. */
  #pages = new Map<number, number>();
  /** Bits 32 to 51 of an entry that are address bits. */
  #highMask: number;
  #lowMask: number;

  /** `budget` grows with the memory by default. */
  constructor(
    physical: PhysicalMemory,
    pageTable: PageTableRoot,
    budget: ReadBudget = ReadBudget.forBytes(heldBytes(physical)),
  ) {
    this.physical = physical;
    this.pageTable = pageTable;
    this.budget = budget;
    this.#highMask = 0xfffff & ~Number(pageTable.smeMask >> 32n);
    this.#lowMask = ~0xfff & ~Number(pageTable.smeMask & 0xffffffffn);
  }

  /** An address space of other tables in the same machine, such as a process's. */
  withRoot(root: number): AddressSpace {
    return new AddressSpace(this.physical, { ...this.pageTable, root }, this.budget);
  }

  /**
   * The physical address of a virtual one.
   *
   * @throws {MemoryFault} when it is not mapped.
   */
  translate(address: bigint): number {
    const page = this.#page(address);
    if (page < 0) throw this.fault(address, FAULTS[-page - 1]!);
    return page + Number(address & 0xfffn);
  }

  /** Whether the page tables say where the page of `address` is, in the image or not. */
  isMapped(address: bigint): boolean {
    return this.#page(address) >= 0;
  }

  /** Whether the page of `address` can be read. */
  isReadable(address: bigint): boolean {
    const page = this.#page(address);
    return page >= 0 && this.physical.read(page, 1) !== undefined;
  }

  /**
   * `length` bytes at a virtual address; a view where they lie in one page, else a copy.
   *
   * @throws {MemoryFault} at the first byte that cannot be read.
   */
  read(address: bigint, length: number): Uint8Array {
    if (!(length >= 0 && length <= MAX_READ)) throw this.fault(address, "unmapped");
    if (!this.budget.spend(1 + length / BYTES_PER_UNIT)) {
      throw this.fault(address, "over_budget");
    }
    const inPage = PAGE_SIZE - Number(address & 0xfffn);
    if (length <= inPage) {
      const bytes = this.physical.read(this.translate(address), length);
      if (bytes === undefined) throw this.fault(address, "not_in_image");
      return bytes;
    }
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const at = BigInt.asUintN(64, address + BigInt(done));
      const take = Math.min(length - done, PAGE_SIZE - Number(at & 0xfffn));
      const part = this.physical.read(this.translate(at), take);
      if (part === undefined) throw this.fault(at, "not_in_image");
      bytes.set(part, done);
      done += take;
    }
    return bytes;
  }

  /**
   * Like {@linkcode AddressSpace.read}, but ends at the first page that cannot be read: the bytes
   * up to there, at least one.
   */
  readUpTo(address: bigint, length: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let done = 0;
    while (done < length) {
      const at = BigInt.asUintN(64, address + BigInt(done));
      const take = Math.min(length - done, PAGE_SIZE - Number(at & 0xfffn));
      try {
        parts.push(this.read(at, take));
      } catch (error) {
        if (!(error instanceof MemoryFault) || done === 0) throw error;
        break;
      }
      done += take;
    }
    if (parts.length === 1) return parts[0]!;
    const bytes = new Uint8Array(done);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }

  /** A 64-bit little-endian value. */
  readPointer(address: bigint): bigint {
    const bytes = this.read(address, 8);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  }

  /** A fault to be thrown, which is taken off the budget. */
  fault(address: bigint, reason: FaultReason): MemoryFault {
    this.budget.spend(UNITS_PER_FAULT);
    return new MemoryFault(address, reason);
  }

  /** The physical address of the page of `address`, or the negative number of a fault. */
  #page(address: bigint): number {
    const low = Number(address & 0xffffffffn);
    const high = Number((address >> 32n) & 0xffffffffn);
    // 57 bits less 12 of offset: exact in a number.
    const key = (high & 0x1ffffff) * 2 ** 20 + (low >>> 12);
    const signBits = this.pageTable.levels === 5 ? high >>> 24 : high >>> 15;
    const allSet = this.pageTable.levels === 5 ? 0xff : 0x1ffff;
    if (signBits !== 0 && signBits !== allSet) return NON_CANONICAL;
    let page = this.#pages.get(key);
    if (page === undefined) {
      if (!this.budget.spend(1)) return OVER_BUDGET;
      page = high === 0 && low < PAGE_SIZE ? NULL : this.#walk(high, low);
      if (this.#pages.size >= MAX_CACHED_PAGES) this.#pages.clear();
      this.#pages.set(key, page);
    }
    return page;
  }

  #walk(high: number, low: number): number {
    let table = this.pageTable.root;
    for (let level: number = this.pageTable.levels; level >= 1; level--) {
      const index = tableIndex(high, low, level);
      const bytes = this.physical.read(table + index * 8, 8);
      if (bytes === undefined) return NOT_IN_IMAGE;
      let entryLow = bytes[0]! | bytes[1]! << 8 | bytes[2]! << 16 | bytes[3]! << 24;
      let entryHigh = (bytes[4]! | bytes[5]! << 8 | bytes[6]! << 16 | bytes[7]! << 24) >>> 0;
      const flags = entryLow & 0xfff;
      if ((flags & PRESENT) === 0) {
        if (entryLow === 0 && entryHigh === 0) return UNMAPPED;
        // A swap entry, or a page without access whose frame number is stored inverted
        // (`arch/x86/include/asm/pgtable-invert.h`).
        if ((flags & PROT_NONE) === 0) return level <= 2 ? SWAPPED : UNMAPPED;
        // Only pages lose their access; a table that is not present is none.
        if (level > 1 && (flags & PAGE_SIZE_BIT) === 0) return UNMAPPED;
        entryLow = ~entryLow;
        entryHigh = ~entryHigh;
      }
      const base = (entryHigh & this.#highMask) * 2 ** 32 + ((entryLow & this.#lowMask) >>> 0);
      if (level === 1) return base;
      if ((flags & PAGE_SIZE_BIT) !== 0) {
        if (level > 3) return UNMAPPED;
        // Bits below the page's size in a large entry are flags (PAT), not address.
        const span = level === 3 ? 2 ** 30 : 2 ** 21;
        const offset = level === 3 ? low & 0x3ffff000 : low & 0x1ff000;
        return Math.floor(base / span) * span + offset;
      }
      table = base;
    }
    return UNMAPPED;
  }

  /**
   * What the tables map between two addresses of the upper half, ascending, in stretches that are
   * contiguous both virtually and physically. Tables that are not in the image map nothing, and
   * neither do those that are left when the budget is spent.
   */
  *mappings(start: bigint, end: bigint): Generator<Mapping> {
    const { root, levels } = this.pageTable;
    let open: Mapping | undefined;
    for (const page of this.#pagesOf(root, levels, { start, end, base: 0n })) {
      if (
        open !== undefined && page.start === open.start + BigInt(open.length) &&
        page.physical === open.physical + open.length
      ) {
        open = { ...open, length: open.length + page.length };
        continue;
      }
      if (open !== undefined) yield open;
      open = page;
    }
    if (open !== undefined) yield open;
  }

  *#pagesOf(
    table: number,
    level: number,
    { start, end, base }: { start: bigint; end: bigint; base: bigint },
  ): Generator<Mapping> {
    const bytes = this.physical.read(table, PAGE_SIZE);
    if (bytes === undefined || !this.budget.spend(ENTRIES)) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
    const shift = BigInt(12 + 9 * (level - 1));
    const top = this.pageTable.levels;
    for (let i = 0; i < ENTRIES; i++) {
      const entryLow = view.getUint32(i * 8, true);
      if ((entryLow & PRESENT) === 0) continue;
      let at = base + (BigInt(i) << shift);
      // The upper half of the top table maps addresses whose upper bits are all set.
      if (level === top && i >= 256) at |= BigInt.asUintN(64, -1n << (shift + 9n));
      if (at >= end || at + (1n << shift) <= start) continue;
      const physical = (view.getUint32(i * 8 + 4, true) & this.#highMask) * 2 ** 32 +
        ((entryLow & this.#lowMask) >>> 0);
      const isPage = level === 1 || (level <= 3 && (entryLow & PAGE_SIZE_BIT) !== 0);
      if (isPage) {
        const length = 2 ** Number(shift);
        yield { start: at, length, physical: Math.floor(physical / length) * length };
      } else {
        yield* this.#pagesOf(physical, level - 1, { start, end, base: at });
      }
    }
  }
}

/** A stretch of virtual memory that is contiguous in physical memory too. Lengths are bytes. */
export interface Mapping {
  readonly start: bigint;
  readonly length: number;
  readonly physical: number;
}

/** Index into the table of a level (1 to 5) for an address given as two halves. */
function tableIndex(high: number, low: number, level: number): number {
  switch (level) {
    case 5:
      return (high >>> 16) & 511;
    case 4:
      return (high >>> 7) & 511;
    case 3:
      return ((high & 0x7f) << 2) | (low >>> 30);
    case 2:
      return (low >>> 21) & 511;
    default:
      return (low >>> 12) & 511;
  }
}

const FAULTS: readonly FaultReason[] = [
  "unmapped",
  "swapped",
  "not_in_image",
  "non_canonical",
  "null",
  "over_budget",
];
const UNMAPPED = -1;
const SWAPPED = -2;
const NOT_IN_IMAGE = -3;
const NON_CANONICAL = -4;
const NULL = -5;
const OVER_BUDGET = -6;
