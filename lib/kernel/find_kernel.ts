import { ImageError } from "../memory/image_error.ts";
import type { CpuState } from "../memory/elf_core.ts";
import type { PhysicalMemory } from "../memory/physical_memory.ts";
import { AddressSpace, type PageTableRoot } from "./address_space.ts";
import { Btf } from "./btf.ts";
import { BtfError, btfLength } from "./btf_format.ts";
import {
  findAnchors,
  possibleSlides,
  readBanner,
  whyNotItsBanner,
  whyNotItsSymbols,
  whyNotItsTypes,
} from "./check_kernel.ts";
import { findKallsyms } from "./find_kallsyms.ts";
import { Kallsyms, KallsymsError, type KallsymsTables } from "./kallsyms.ts";
import { WrongKernelError } from "./kernel_file_error.ts";
import type { GivenSymbols, GivenTypes, KernelFiles } from "./kernel_files.ts";
import { MemoryFault } from "./memory_fault.ts";
import { Program } from "./program.ts";
import { ReadBudget } from "./read_budget.ts";
import {
  isInImage,
  KERNEL_IMAGE_END,
  KERNEL_IMAGE_START,
  type KernelSymbols,
  SlidSymbols,
} from "./symbols.ts";
import type { KernelTypes } from "./types.ts";
import { findVmcoreinfo, Vmcoreinfo, vmcoreinfoOf } from "./vmcoreinfo.ts";

/** Ways to find the page tables, in the order in which they are tried. */
export type PageTableSource = "vmcoreinfo_note" | "cpu_state" | "vmcoreinfo_memory" | "swapper";

/** Where symbols come from: the kernel's own tables, found in one way or the other, or a file. */
export type SymbolSource = "vmcoreinfo" | "search" | GivenSymbols["source"];

/** Where types come from: BTF where a symbol says, found by its looks, a copy of it, or a file. */
export type TypeSource = "__start_BTF" | "search" | "copy" | GivenTypes["source"];

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

/** Symbols that may be the kernel's. */
interface SymbolTable {
  readonly source: SymbolSource;
  /** @throws {KallsymsError | MemoryFault} when they are not. */
  open(space: AddressSpace): KernelSymbols;
}

/** What the image's headers say, and which ways are allowed (all by default). */
export interface FindKernelOptions {
  /** The image's name, for messages. */
  readonly name: string;
  readonly cpus: readonly CpuState[];
  readonly vmcoreinfo: string | undefined;
  readonly sources?: readonly PageTableSource[];
  /** What {@linkcode findVmcoreinfo} finds, where the caller has looked already. */
  readonly inMemory?: Iterable<Vmcoreinfo>;
  /** What may be read in the search; shared by searches that belong together. */
  readonly budget?: ReadBudget;
  /** What is used in place of the kernel's own symbols and types. */
  readonly files?: KernelFiles;
}

/** What the headers say comes first: the others take a search of all memory. */
const ALL_SOURCES: readonly PageTableSource[] = [
  "vmcoreinfo_note",
  "cpu_state",
  "vmcoreinfo_memory",
  "swapper",
];
/** A file is checked against VMCOREINFO, and placed by it. */
const SOURCES_WITH_FILES: readonly PageTableSource[] = [
  "vmcoreinfo_note",
  "vmcoreinfo_memory",
  "cpu_state",
  "swapper",
];

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

/** Page tables that may be the kernel's. */
interface Candidate {
  readonly source: PageTableSource;
  readonly root: PageTableRoot;
  readonly vmcoreinfo: Vmcoreinfo | undefined;
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
  for (const candidate of candidates(memory, options, budget)) {
    // A kernel was found, and of the tables that pass for its own none will do better.
    if (reasons.wrongTypes && candidate.source === "swapper") break;
    reasons.note(0, "page tables were found, but they do not map a kernel");
    const space = new AddressSpace(memory, candidate.root, budget.part(CANDIDATE_UNITS));
    if (isStale(space, candidate)) continue;
    for (const symbols of symbolTables(space, candidate.vmcoreinfo, files.symbols)) {
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

/** Ranks of refusals. */
const WRONG_SYMBOLS = 4;
const WRONG_TYPES = 5;

/** A candidate is no kernel, and how far it got. */
class Refusal extends Error {
  override readonly name = "Refusal";
  /** 0 page tables, 1 symbols, 2 banner and depth, 3 types, 4 and 5 files of another kernel. */
  readonly rank: number;
  /** The file that is of another kernel. */
  readonly file: string | undefined;

  constructor(rank: number, why: string, file?: string) {
    super(why);
    this.rank = rank;
    this.file = file;
  }
}

/** Why candidates were refused; what got furthest is what is worth saying. */
class Reasons {
  closest: string;
  /** The file that is of another kernel, where nothing else was wrong. */
  wrongFile: string | undefined;
  #rank = -1;

  /** @param types The file whose types were used to look for the first task. */
  constructor(types: string | undefined) {
    const or = types === undefined ? "" : `, or ${JSON.stringify(types)} is of another kernel`;
    this.closest =
      'looked for VMCOREINFO, for the CPU state of QEMU and for the task "swapper/0", ' +
      `found none that leads to one${or}`;
  }

  note(rank: number, why: string, file?: string): void {
    if (rank < this.#rank) return;
    this.#rank = rank;
    this.closest = why;
    this.wrongFile = file;
  }

  get wrongTypes(): boolean {
    return this.#rank === WRONG_TYPES;
  }

  giveUp(): void {
    this.closest =
      `gave up among many that look like one; of the last that came close: ${this.closest}`;
  }

  attempt<T>(open: () => T): T | undefined {
    try {
      return open();
    } catch (error) {
      if (error instanceof Refusal) this.note(error.rank, error.message, error.file);
      else if (error instanceof KallsymsError || error instanceof MemoryFault) {
        this.note(
          1,
          `page tables were found, but kallsyms cannot be read through them: ${error.message} ` +
            "(--symbols or --isf gives the symbols)",
        );
      } else throw error;
      return undefined;
    }
  }
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
    if (why !== undefined) throw new Refusal(WRONG_SYMBOLS, why, files.symbols.file);
  }
  const { types, source } = files.types === undefined ? readTypes(space, symbols) : files.types;
  // The search is over: what reads from here on has a budget of its own.
  const program = new Program(new AddressSpace(space.physical, space.pageTable), types, symbols);
  const info = vmcoreinfo ?? readVmcoreinfo(space, symbols);
  // The banner of a file has named its kernel by now.
  if (files.types !== undefined && files.symbols?.banner === undefined) {
    const why = whyNotItsTypes(program, files.types, info);
    if (why !== undefined) throw new Refusal(WRONG_TYPES, why, files.types.file);
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

/** Symbols: of a file, or the kernel's own. */
function* symbolTables(
  space: AddressSpace,
  info: Vmcoreinfo | undefined,
  given: GivenSymbols | undefined,
): Generator<SymbolTable> {
  if (given === undefined) return yield* ownTables(space, info);
  const { file, source, symbols } = given;
  const anchors = findAnchors(space, info);
  const slides = possibleSlides(symbols, anchors);
  for (const slide of slides) yield { source, open: () => new SlidSymbols(symbols, slide) };
  if (slides.size > 0 || anchors.length === 0) return;
  const why = whyNotItsBanner(space, given, anchors) ??
    "_stext and linux_banner are elsewhere in it";
  yield {
    source,
    open() {
      throw new Refusal(WRONG_SYMBOLS, why, file);
    },
  };
}

/** The kernel's own tables: where VMCOREINFO says, then wherever they look like themselves. */
function* ownTables(space: AddressSpace, info: Vmcoreinfo | undefined): Generator<SymbolTable> {
  const tableOf = (source: SymbolSource, tables: KallsymsTables): SymbolTable => ({
    source,
    open: (space) =>
      new Kallsyms(space, tables, (symbol, address) => {
        const noted = info?.symbol(symbol);
        if (noted !== undefined) return address === noted;
        if (!isInImage(address) || !space.isMapped(address)) return false;
        return symbol === "linux_banner"
          ? readBanner(space, address) !== undefined
          : (address & 0xfffn) === 0n;
      }),
  });
  const tables = info && tablesOf(info);
  if (tables !== undefined) yield tableOf("vmcoreinfo", tables);
  for (const found of findKallsyms(space)) yield tableOf("search", found);
}

/** The kernel's own symbols, where they can be read. */
function ownSymbols(
  space: AddressSpace,
  info: Vmcoreinfo | undefined,
): KernelSymbols | undefined {
  for (const table of ownTables(space, info)) {
    try {
      return table.open(space);
    } catch (error) {
      if (!(error instanceof KallsymsError || error instanceof MemoryFault)) throw error;
    }
  }
  return undefined;
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
    throw new Refusal(2, `page tables have ${space.pageTable.levels} levels, the kernel ${levels}`);
  }
}

function* candidates(
  memory: PhysicalMemory,
  { cpus, vmcoreinfo, sources, inMemory, files }: FindKernelOptions,
  budget: ReadBudget,
): Generator<Candidate> {
  const usual = (files?.symbols ?? files?.types) ? SOURCES_WITH_FILES : ALL_SOURCES;
  for (const source of sources ?? usual) {
    switch (source) {
      case "vmcoreinfo_note":
        if (vmcoreinfo !== undefined) yield* ofVmcoreinfo(new Vmcoreinfo(vmcoreinfo), source);
        break;
      case "vmcoreinfo_memory":
        for (const info of inMemory ?? findVmcoreinfo(memory)) yield* ofVmcoreinfo(info, source);
        break;
      case "cpu_state":
        yield* ofCpus(memory, cpus);
        break;
      case "swapper":
        yield* ofSwapper(memory, budget, files?.types?.types);
        break;
    }
  }
}

/** Whether what VMCOREINFO leads to are no page tables: they do not map themselves where it says. */
function isStale(space: AddressSpace, { vmcoreinfo, root }: Candidate): boolean {
  const table = vmcoreinfo && topTableOf(vmcoreinfo);
  if (table === undefined) return false;
  try {
    return space.translate(table) !== root.root;
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    // A slice may lack the page that would tell.
    return error.reason !== "not_in_image";
  }
}

/** Virtual address of the kernel's top page table. */
function topTableOf(info: Vmcoreinfo): bigint | undefined {
  return info.symbol("swapper_pg_dir") ?? info.symbol("init_top_pgt");
}

/** Physical address of the page tables that VMCOREINFO names, or undefined. */
export function pageTablesOf(info: Vmcoreinfo): number | undefined {
  const table = topTableOf(info);
  const physBase = info.number("phys_base");
  if (table === undefined || physBase === undefined) return undefined;
  const root = Number(table - KERNEL_IMAGE_START + physBase);
  return root >= 0 ? root : undefined;
}

/** The page tables that VMCOREINFO names; unknown depth is tried both ways. */
function* ofVmcoreinfo(info: Vmcoreinfo, source: PageTableSource): Generator<Candidate> {
  const root = pageTablesOf(info);
  if (root === undefined) return;
  const smeMask = info.number("sme_mask") ?? 0n;
  const deep = info.number("pgtable_l5_enabled");
  const depths: (4 | 5)[] = deep === undefined ? [4, 5] : deep === 1n ? [5] : [4];
  for (const levels of depths) {
    yield { source, root: { root, levels, smeMask }, vmcoreinfo: info };
  }
}

const CR4_LA57 = 1n << 12n;

/**
 * The page tables that the vCPUs ran on. Under page-table isolation a CPU in user mode has tables
 * without the kernel; the kernel's are the page before (`arch/x86/entry/calling.h`, PTI_USER_PGTABLE).
 */
function* ofCpus(memory: PhysicalMemory, cpus: readonly CpuState[]): Generator<Candidate> {
  const seen = new Set<number>();
  const top = memory.ranges.at(-1)?.end ?? 0;
  for (const { cr3, cr4 } of cpus) {
    const address = cr3 & 0x000ffffffffff000n;
    // A bit above all memory is the encryption bit of AMD SME.
    let smeMask = 0n;
    for (let bit = 51n; bit >= 43n; bit--) {
      if ((address >> bit & 1n) === 1n && Number(address) >= top) smeMask |= 1n << bit;
    }
    const page = Number(address & ~smeMask);
    for (const root of [page, page - (page & 4096)]) {
      if (seen.has(root)) continue;
      seen.add(root);
      const levels = (cr4 & CR4_LA57) !== 0n ? 5 : 4;
      yield { source: "cpu_state", root: { root, levels, smeMask }, vmcoreinfo: undefined };
    }
  }
}

/** `comm` of the first task: TASK_COMM_LEN is 16. */
const SWAPPER = new TextEncoder().encode("swapper/0\0\0\0\0\0\0\0");
/** Anyone can write these bytes into memory; those of the first task must be among the hits. */
const MOST_SWAPPERS = 65_536;
/** A kernel's BTF starts so: magic, version 1, flags 0, header of 24 bytes. */
const BTF_PATTERN = {
  bytes: new Uint8Array([0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0]),
  align: 4,
};
/** Anyone can write these bytes, too. */
const MOST_BTF_STARTS = 4096;
const LARGEST_BTF = 64 * 1024 * 1024;
/** BTF looked at in all; a kernel has 3 to 10 MiB, a machine two or three copies. */
const MOST_BTF = 2 * LARGEST_BTF;

/** Half of the window around the first task in which the kernel's image can lie. */
const IMAGE_SPAN = 128 * 1024 * 1024;
const PAGE_SIZE = 4096;
/** What a look at each page of the window costs of a {@linkcode ReadBudget}. */
const UNITS_AROUND = 2 * IMAGE_SPAN / PAGE_SIZE;
const GIB = 1n << 30n;
/** The image is aligned to this at least, physically and virtually (CONFIG_PHYSICAL_ALIGN). */
const IMAGE_ALIGN = 2 * 1024 * 1024;

/**
 * The page tables, found from the task `swapper/0`: it lies in the kernel's image and is its own
 * parent, so both its physical and its virtual address are known. The kernel's top table lies in
 * the image too, so of the pages around it one translates that address, and that of the next task.
 */
function* ofSwapper(
  memory: PhysicalMemory,
  budget: ReadBudget,
  given: KernelTypes | undefined,
): Generator<Candidate> {
  const [names = [], types = []] = memory.search(
    [{ bytes: SWAPPER }, BTF_PATTERN],
    { limit: MOST_SWAPPERS },
  );
  if (names.length === 0) return;
  for (const layout of taskLayouts(memory, types, given)) {
    for (const comm of names) {
      if (!budget.spend(1)) return;
      const physical = comm - layout.comm;
      const virtual = readPointer(memory, physical + layout.realParent);
      const next = readPointer(memory, physical + layout.tasks);
      if (virtual === undefined || next === undefined) continue;
      if (virtual < KERNEL_IMAGE_START || virtual >= KERNEL_IMAGE_END) continue;
      if (Number(virtual % BigInt(IMAGE_ALIGN)) !== physical % IMAGE_ALIGN) continue;
      for (const root of rootsAround(memory, { physical, virtual, next }, budget)) {
        yield { source: "swapper", root, vmcoreinfo: undefined };
      }
    }
  }
}

function* rootsAround(
  memory: PhysicalMemory,
  { physical, virtual, next }: { physical: number; virtual: bigint; next: bigint },
  budget: ReadBudget,
): Generator<PageTableRoot> {
  const page = physical - physical % PAGE_SIZE;
  const roots: number[] = [];
  if (!budget.spend(UNITS_AROUND)) return;
  const start = Math.max(0, page - IMAGE_SPAN);
  for (let root = start; root < page + IMAGE_SPAN; root += PAGE_SIZE) {
    // The image is mapped by the last entry of the top table in either depth.
    const last = memory.read(root + PAGE_SIZE - 8, 1);
    if (last !== undefined && (last[0]! & 1) === 1) roots.push(root);
  }
  // 4 first: a page that points to the top table of 4 levels would pass for one of 5.
  for (const levels of [4, 5] as const) {
    for (const smeMask of [0n, 1n << 47n, 1n << 51n]) {
      for (const root of roots) {
        if (budget.isSpent) return;
        const space = new AddressSpace(memory, { root, levels, smeMask }, budget);
        try {
          if (space.translate(virtual) !== physical) continue;
          space.translate(next);
        } catch (error) {
          if (!(error instanceof MemoryFault)) throw error;
          continue;
        }
        yield space.pageTable;
      }
    }
  }
}

interface TaskLayout {
  /** Offsets in bytes in `task_struct`. */
  readonly comm: number;
  readonly realParent: number;
  readonly tasks: number;
}

/**
 * Layouts by the types that were given, and by the BTFs that lie in physical memory in one piece:
 * the live one and remnants.
 */
function taskLayouts(
  memory: PhysicalMemory,
  starts: readonly number[],
  given: KernelTypes | undefined,
): TaskLayout[] {
  const layouts = new Map<string, TaskLayout>();
  const add = (types: KernelTypes) => {
    const members = types.struct("task_struct")?.members;
    const [comm, realParent, tasks] = ["comm", "real_parent", "tasks"].map((name) => {
      const member = members?.get(name);
      return member && member.bitOffset >>> 3;
    });
    if (comm === undefined || realParent === undefined || tasks === undefined) return;
    layouts.set(`${comm} ${realParent} ${tasks}`, { comm, realParent, tasks });
  };
  if (given !== undefined) add(given);
  for (const types of findBlobs(memory, starts)) add(types);
  return [...layouts.values()];
}

function readPointer(memory: PhysicalMemory, address: number): bigint | undefined {
  const bytes = address >= 0 ? memory.read(address, 8) : undefined;
  return bytes && new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

function tablesOf(info: Vmcoreinfo): KallsymsTables | undefined {
  const numSyms = info.symbol("kallsyms_num_syms");
  const names = info.symbol("kallsyms_names");
  const tokenTable = info.symbol("kallsyms_token_table");
  const tokenIndex = info.symbol("kallsyms_token_index");
  if (
    numSyms === undefined || names === undefined || tokenTable === undefined ||
    tokenIndex === undefined
  ) return undefined;
  return {
    numSyms,
    names,
    tokenTable,
    tokenIndex,
    offsets: info.symbol("kallsyms_offsets"),
    addresses: info.symbol("kallsyms_addresses"),
    relativeBase: info.symbol("kallsyms_relative_base"),
  };
}

/** The text of `linux_banner`. */
function bannerOf(space: AddressSpace, symbols: KernelSymbols): string {
  const address = symbols.lookup("linux_banner");
  // CONFIG_KALLSYMS_ALL=n keeps no data symbols; `_stext` has proven the tables then.
  if (address === undefined) return "";
  const banner = readBanner(space, address);
  if (banner === undefined) {
    throw new Refusal(2, "symbols were found, but linux_banner does not hold a kernel's banner");
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

/** The kernel's own types, and how they were come by. */
interface OwnTypes {
  readonly types: Btf;
  readonly source: TypeSource;
}

/**
 * The types where symbols say, or where that is not known, in the kernel's image. Damaged ones are
 * taken from a copy of them: the kernel was unpacked in memory that may not have been used since.
 */
function readTypes(space: AddressSpace, symbols: KernelSymbols): OwnTypes {
  const start = symbols.lookup("__start_BTF");
  if (start === undefined) {
    const types = findBtf(space);
    if (types !== undefined) return { types, source: "search" };
    throw new Refusal(
      3,
      "it carries no BTF (no symbol __start_BTF: CONFIG_DEBUG_INFO_BTF is off); --btf or --isf " +
        "gives the types",
    );
  }
  const stop = symbols.lookup("__stop_BTF");
  let bytes: Uint8Array | undefined;
  try {
    const length = stop !== undefined && stop > start
      ? Number(stop - start)
      : btfLength(space.read(start, 24)) ?? 0;
    if (length > LARGEST_BTF) throw new BtfError(`it claims to have ${length} bytes`);
    bytes = readGaps(space, start, length);
    const types = new Btf(bytes);
    if (types.size !== length) throw new BtfError(`its header claims ${types.size} bytes`);
    return { types, source: "__start_BTF" };
  } catch (error) {
    if (!(error instanceof BtfError || error instanceof MemoryFault)) throw error;
    const copy = bytes && findCopy(space, bytes.length);
    if (copy !== undefined) return { types: copy, source: "copy" };
    const rest = bytes && salvage(bytes);
    if (rest !== undefined) return { types: rest, source: "__start_BTF" };
    throw new Refusal(
      3,
      `its BTF cannot be read: ${error.message} (--btf or --isf gives the types)`,
    );
  }
}

/** Bytes of memory, zeros where it cannot be read. */
function readGaps(space: AddressSpace, address: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let fault: MemoryFault | undefined;
  let read = 0;
  for (let at = 0; at < length;) {
    const from = address + BigInt(at);
    const take = Math.min(length - at, PAGE_SIZE - Number(from & 0xfffn));
    try {
      bytes.set(space.read(from, take), at);
      read += take;
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      fault ??= error;
    }
    at += take;
  }
  if (fault !== undefined && read === 0) throw fault;
  return bytes;
}

/** BTF in the kernel's image. */
function findBtf(space: AddressSpace): Btf | undefined {
  for (const { length, physical } of space.mappings(KERNEL_IMAGE_START, KERNEL_IMAGE_END)) {
    const within = { start: physical, end: physical + length, limit: MOST_BTF_STARTS };
    const [starts = []] = space.physical.search([BTF_PATTERN], within);
    for (const types of findBlobs(space.physical, starts)) {
      if (types.struct("task_struct") !== undefined) return types;
    }
  }
  return undefined;
}

/** BTF of a length anywhere in memory: that of no other kernel has the same to the byte. */
function findCopy({ physical }: AddressSpace, length: number): Btf | undefined {
  const [starts = []] = physical.search([BTF_PATTERN], { limit: MOST_BTF_STARTS });
  for (const types of findBlobs(physical, starts)) {
    if (types.size === length && types.struct("task_struct") !== undefined) return types;
  }
  return undefined;
}

/** BTF that lies in physical memory in one piece: the live one and remnants. */
function* findBlobs(
  memory: PhysicalMemory,
  starts: Iterable<number>,
): Generator<Btf> {
  let looked = 0;
  for (const address of starts) {
    const header = memory.read(address, 24);
    const length = header && btfLength(header);
    if (length === undefined || length > LARGEST_BTF || looked + length > MOST_BTF) continue;
    const bytes = memory.read(address, length);
    if (bytes === undefined) continue;
    looked += length;
    try {
      yield new Btf(bytes);
    } catch (error) {
      if (!(error instanceof BtfError)) throw error;
    }
  }
}

/** The types that damage leaves, where the first task's is among them. */
function salvage(bytes: Uint8Array): Btf | undefined {
  try {
    const types = new Btf(bytes, { salvage: true });
    return types.struct("task_struct") === undefined ? undefined : types;
  } catch (error) {
    if (error instanceof BtfError || error instanceof ImageError) return undefined;
    throw error;
  }
}
