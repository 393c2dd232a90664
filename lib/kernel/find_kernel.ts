import { ImageError } from "../memory/image_error.ts";
import type { PhysicalMemory } from "../memory/physical_memory.ts";
import { AddressSpace } from "./address_space.ts";
import { Btf } from "./btf.ts";
import { readBanner, whyNotItsSymbols, whyNotItsTypes } from "./check_kernel.ts";
import { ownTypes, type TypeSource } from "./find_btf.ts";
import {
  type Candidate,
  findPageTables,
  isStale,
  type PageTableSearch,
  type PageTableSource,
} from "./find_page_tables.ts";
import { findSymbols, ownSymbols, type SymbolTable } from "./find_symbols.ts";
import { Kallsyms } from "./kallsyms.ts";
import { WrongKernelError } from "./kernel_file_error.ts";
import type { KernelFiles } from "./kernel_files.ts";
import { MemoryFault } from "./memory_fault.ts";
import { Program } from "./program.ts";
import { ReadBudget } from "./read_budget.ts";
import { Rank, Reasons, Refusal } from "./refusal.ts";
import type { KernelSymbols } from "./symbols.ts";
import type { KernelTypes } from "./types.ts";
import { type Vmcoreinfo, vmcoreinfoOf } from "./vmcoreinfo.ts";

const PAGE_SIZE = 4096;
const GIB = 1n << 30n;

/** What of a kernel's own tables is damaged. */
export interface TableDamage {
  readonly code: "symbols_damaged" | "types_damaged";
  readonly message: string;
  /** What that hides; undefined where it hides nothing. */
  readonly hides: string | undefined;
}

/** A kernel found in an image. */
export interface FoundKernel {
  readonly program: Program;
  /** `Linux version …`, as the kernel prints it at boot; "" where no symbol names it. */
  readonly banner: string;
  readonly vmcoreinfo: Vmcoreinfo | undefined;
  readonly pageTables: PageTableSource;
  readonly symbols: SymbolTable;
  readonly types: TypeSource;
  readonly damage: readonly TableDamage[];
  /** What was given in place of the kernel's own symbols and types. */
  readonly files: KernelFiles;
}

/** What the image's headers say, and which ways are allowed (all by default). */
export interface FindKernelOptions extends PageTableSearch {
  /** The image's name, for messages. */
  readonly name: string;
  /** What may be read in the search; shared by searches that belong together. */
  readonly budget?: ReadBudget;
}

/**
 * Finding a kernel takes less than half a million units, whatever the size of the image. Memory may
 * hold page tables and symbols that lead nowhere: of former kernels, of guests, or made up.
 */
const CANDIDATE_UNITS = 2_000_000;
const SEARCH_UNITS = 4 * CANDIDATE_UNITS;

/** The budget of a search. */
export function searchBudget(): ReadBudget {
  return new ReadBudget(SEARCH_UNITS);
}

/**
 * Finds the kernel in an image from the image alone: its page tables, its symbols (kallsyms) and
 * its types (BTF). A candidate counts only once the kernel's own banner was read through it, so
 * remnants of an earlier kernel lose.
 *
 * @throws {ImageError} that names what was looked for and not found.
 * @throws {WrongKernelError} when there is one, but a file is of another.
 */
export function findKernel(memory: PhysicalMemory, options: FindKernelOptions): FoundKernel {
  const reasons = new Reasons(options.files?.types?.file);
  // One for all candidates: remnants and decoys may be many.
  const { budget = searchBudget(), files = {} } = options;
  for (const candidate of findPageTables(memory, options, budget)) {
    // A kernel was found, and of the tables that pass for its own none will do better.
    if (reasons.wrongTypes && candidate.source === "swapper") break;
    reasons.note(Rank.PAGE_TABLES, "page tables were found, but they do not map a kernel");
    const space = new AddressSpace(memory, candidate.root, budget.part(CANDIDATE_UNITS));
    if (isStale(space, candidate)) continue;
    for (const symbols of findSymbols(space, candidate.vmcoreinfo, files.symbols)) {
      const kernel = reasons.attempt(() => openKernel(space, candidate, { symbols, files }));
      if (kernel !== undefined) return kernel;
    }
    if (budget.isSpent) {
      reasons.giveUp();
      break;
    }
  }
  const name = JSON.stringify(options.name);
  if (reasons.wrongFile !== undefined) {
    throw new WrongKernelError(
      reasons.wrongFile,
      `it is not of the kernel in ${name}: ${reasons.closest}`,
    );
  }
  throw new ImageError(`Cannot find a Linux kernel in ${name}: ${reasons.closest}`);
}

/**
 * The same kernel read through another view of the same memory, such as one that notes what is
 * read.
 */
export function reopenKernel(memory: PhysicalMemory, found: FoundKernel): FoundKernel {
  const { pageTable } = found.program.memory;
  const candidate = { source: found.pageTables, root: pageTable, vmcoreinfo: found.vmcoreinfo };
  return openKernel(new AddressSpace(memory, pageTable), candidate, found);
}

/** @throws {Refusal | KallsymsError | MemoryFault} when this is no kernel. */
function openKernel(
  space: AddressSpace,
  { source: pageTables, vmcoreinfo }: Candidate,
  { symbols: table, files }: { symbols: SymbolTable; files: KernelFiles },
): FoundKernel {
  const symbols = table.open(space);
  const banner = bannerOf(space, symbols);
  checkDepth(space, symbols);
  if (files.symbols !== undefined) {
    const own = ownSymbols(space, vmcoreinfo);
    const why = whyNotItsSymbols(space, symbols, { given: files.symbols, banner, vmcoreinfo, own });
    if (why !== undefined) throw new Refusal(Rank.GIVEN_SYMBOLS, why, files.symbols.file);
  }
  const { types, source } = files.types === undefined ? ownTypes(space, symbols) : files.types;
  // The search is over: what reads from here on has a budget of its own.
  const program = new Program(new AddressSpace(space.physical, space.pageTable), types, symbols);
  const info = vmcoreinfo ?? readVmcoreinfo(space, symbols);
  // The banner of a file has named its kernel by now.
  if (files.types !== undefined && files.symbols?.banner === undefined) {
    const why = whyNotItsTypes(program, files.types, info);
    if (why !== undefined) throw new Refusal(Rank.GIVEN_TYPES, why, files.types.file);
  }
  const damage = damageOf(symbols, { types, source });
  return {
    program,
    banner,
    vmcoreinfo: info,
    pageTables,
    symbols: table,
    types: source,
    damage,
    files,
  };
}

function damageOf(
  symbols: KernelSymbols,
  { types, source }: { types: KernelTypes; source: TypeSource },
): TableDamage[] {
  const damage: TableDamage[] = [];
  if (symbols instanceof Kallsyms && symbols.damage !== undefined) {
    const hides = "what only these names lead to (--symbols gives them)";
    damage.push({ code: "symbols_damaged", message: symbols.damage, hides });
  }
  if (types instanceof Btf && types.isSalvaged) {
    const message = `BTF is damaged: ${types.lost} of ${types.typeCount} types are lost`;
    const hides = types.lost > 0 ? "what is of these types (--btf gives them)" : undefined;
    damage.push({ code: "types_damaged", message, hides });
  }
  if (source === "copy") {
    const message = "BTF is damaged, a copy of it elsewhere in memory was used";
    damage.push({ code: "types_damaged", message, hides: undefined });
  }
  return damage;
}

/**
 * A table above the top one translates the kernel's image just as well. Where the kernel mapped all
 * memory (`page_offset_base`) tells the depth: with 5 levels that is no address of 4 levels.
 */
function checkDepth(space: AddressSpace, symbols: KernelSymbols): void {
  const variable = symbols.lookup("page_offset_base");
  if (variable === undefined) return;
  const base = space.readPointer(variable);
  // The map starts at a multiple of 1 GiB (`arch/x86/mm/kaslr.c`): anything else is damage, and
  // tells nothing.
  if (base >> 56n !== 0xffn || base % GIB !== 0n) return;
  const levels = base >> 47n === 0x1ffffn ? 4 : 5;
  if (levels !== space.pageTable.levels) {
    throw new Refusal(
      Rank.BANNER_OR_DEPTH,
      `page tables have ${space.pageTable.levels} levels, the kernel ${levels}`,
    );
  }
}

/** The text of `linux_banner`. */
function bannerOf(space: AddressSpace, symbols: KernelSymbols): string {
  const address = symbols.lookup("linux_banner");
  // CONFIG_KALLSYMS_ALL=n keeps no data symbols; `_stext` has proven the tables then.
  if (address === undefined) return "";
  const banner = readBanner(space, address);
  if (banner === undefined) {
    throw new Refusal(
      Rank.BANNER_OR_DEPTH,
      "symbols were found, but linux_banner does not hold a kernel's banner",
    );
  }
  return banner;
}

/** The kernel's own VMCOREINFO, where another way led to it. */
function readVmcoreinfo(space: AddressSpace, symbols: KernelSymbols): Vmcoreinfo | undefined {
  const variable = symbols.lookup("vmcoreinfo_data");
  if (variable === undefined) return undefined;
  try {
    return vmcoreinfoOf(space.read(space.readPointer(variable), PAGE_SIZE));
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return undefined;
  }
}
