import type { AddressSpace } from "../kernel/address_space.ts";
import type { Program } from "../kernel/program.ts";
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
      array.base = vmemmapBase(program, { page: page.entry, size: array.size });
    }
    const size = BigInt(array.size);
    if (array.base === undefined || page.entry < array.base) return undefined;
    const distance = page.entry - array.base;
    return distance % size === 0n ? Number(distance / size + offset) : undefined;
  });
}

function pageArrayOf(program: Program): PageArray {
  let array = arrays.get(program);
  if (array === undefined) {
    array = {
      entryType: program.types.struct("folio") === undefined ? "page" : "folio",
      size: program.struct("page").size,
      base: undefined,
      searches: MAX_SEARCHES,
    };
    arrays.set(program, array);
  }
  return array;
}

function vmemmapBase(program: Program, one: { page: bigint; size: number }): bigint | undefined {
  const symbol = program.symbols.lookup("vmemmap_base");
  const value = symbol && readable(() => program.memory.readPointer(symbol));
  return value ?? findVmemmapBase(program.memory, one);
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
