import type { AddressSpace } from "../kernel/address_space.ts";
import type { KernelObject, Program } from "../kernel/program.ts";
import { readable } from "./diagnostics.ts";

/** An entry of a page cache. */
export interface CachedPage {
  /** The pointer that `i_pages` holds at `index`. */
  readonly entry: bigint;
  /** Address of the `struct address_space` that it was found in. */
  readonly mapping: bigint;
  /** Page of the file. */
  readonly index: bigint;
}

const PAGE_SHIFT = 12n;
/** The largest folio is 1 GiB. */
const MAX_FOLIO_PAGES = 1n << 18n;
const LOWER_HALF_END = 1n << 63n;
/** `PUD_SIZE`: `kernel_randomize_memory()` of `arch/x86/mm/kaslr.c` keeps to multiples of it. */
const GIB = 1n << 30n;
/** 52 bits of physical address need no more of the map than this. */
const MAX_GIBS = 64 * 1024;
const MAX_SEARCHES = 8;

/** What is the same for every page of a program. */
interface PageArray {
  /** The struct that an entry of a page cache points to; folios came with Linux 5.16. */
  readonly entryType: "folio" | "page";
  /** `sizeof(struct page)`. */
  readonly size: number;
  /** Where the array of all `struct page` starts. */
  base: bigint | undefined;
  /** Searches for it that are still allowed: each may cost thousands of reads. */
  searches: number;
}

const arrays = new WeakMap<Program, PageArray>();

/**
 * The page frame number of a cached page of a file, or undefined where the entry is none of that
 * file or cannot be read: `folio_file_pfn()` of `include/linux/pagemap.h`.
 */
export function pageFrameOf(program: Program, page: CachedPage): number | undefined {
  return readable(() => {
    const array = pageArrayOf(program);
    // A folio's first page lies where the folio does.
    const head = program.object(array.entryType, page.entry);
    if (head.pointer("mapping") !== page.mapping) return undefined;
    const offset = page.index - head.bigint("index");
    if (offset < 0n || offset >= MAX_FOLIO_PAGES) return undefined;
    if (array.base === undefined && array.searches-- > 0) {
      array.base = findVmemmapBase(program.memory, { page: page.entry, size: array.size });
    }
    const size = BigInt(array.size);
    if (array.base === undefined || page.entry < array.base) return undefined;
    const distance = page.entry - array.base;
    return distance % size === 0n ? Number(distance / size + offset) : undefined;
  });
}

/**
 * Whether memory holds what is a file's or a process's, and nothing of the kernel's own: its page is in
 * a page cache, or anonymous (`folio_mapping()` and `folio_test_anon()` of `include/linux`). False
 * where that cannot be told.
 *
 * @param physical Physical address.
 */
export function isMapped(program: Program, physical: number): boolean {
  return readable(() => {
    const { base, size, entryType } = pageArrayOf(program);
    if (base === undefined) return false;
    const page = program.object("page", base + (BigInt(physical) >> PAGE_SHIFT) * BigInt(size));
    const mapping = program.object(entryType, headOf(page)).pointer("mapping");
    if ((mapping & ANONYMOUS) !== 0n) return true;
    // Slabs keep pointers of their own there.
    const host = program.object("address_space", mapping).pointer("host");
    return program.object("inode", host).pointer("i_mapping") === mapping;
  }) ?? false;
}

/** `PAGE_MAPPING_ANON` */
const ANONYMOUS = 1n;

/** Address of the first page of the compound page that a page belongs to, as `compound_head()` finds it. */
function headOf(page: KernelObject): bigint {
  const info = page.pointer(page.has("compound_info") ? "compound_info" : "compound_head");
  if ((info & 1n) === 0n) return page.address;
  const head = info - 1n;
  // Since Linux 7.0 it may be a mask, which is above all addresses of pages.
  return head <= page.address ? head : page.address & head;
}

function pageArrayOf(program: Program): PageArray {
  let array = arrays.get(program);
  if (array === undefined) {
    const symbol = program.symbols.lookup("vmemmap_base");
    array = {
      entryType: program.types.struct("folio") === undefined ? "page" : "folio",
      size: program.struct("page").size,
      base: symbol && readable(() => program.memory.readPointer(symbol)),
      searches: MAX_SEARCHES,
    };
    arrays.set(program, array);
  }
  return array;
}

/**
 * The start of the array where no symbol names it (CONFIG_KALLSYMS_ALL=n): it is aligned to 1 GiB,
 * starts with page 0, and nothing is mapped in the GiB before it.
 */
export function findVmemmapBase(
  space: AddressSpace,
  { page, size }: { page: bigint; size: number },
): bigint | undefined {
  let base = page - page % GIB;
  for (let step = 0; step < MAX_GIBS && base >= LOWER_HALF_END; step++) {
    if (!space.isReadable(base)) return undefined;
    if (!space.isReadable(base - GIB)) {
      const end = BigInt(space.physical.ranges.at(-1)?.end ?? 0) >> PAGE_SHIFT;
      return (page - base) / BigInt(size) < end ? base : undefined;
    }
    base -= GIB;
  }
  return undefined;
}
