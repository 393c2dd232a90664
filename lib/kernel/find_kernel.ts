import { ImageError } from "../memory/image_error.ts";
import type { CpuState } from "../memory/elf_core.ts";
import type { PhysicalMemory } from "../memory/physical_memory.ts";
import { AddressSpace, type PageTableRoot } from "./address_space.ts";
import { Btf, BtfError, btfLength } from "./btf.ts";
import { findKallsyms, KERNEL_IMAGE_END, KERNEL_IMAGE_START } from "./find_kallsyms.ts";
import { Kallsyms, KallsymsError, type KallsymsTables } from "./kallsyms.ts";
import { MemoryFault } from "./memory_fault.ts";
import { Program } from "./program.ts";
import { ReadBudget } from "./read_budget.ts";
import { findVmcoreinfo, Vmcoreinfo, vmcoreinfoOf } from "./vmcoreinfo.ts";

/** Ways to find the page tables, in the order in which they are tried. */
export type PageTableSource = "vmcoreinfo_note" | "cpu_state" | "vmcoreinfo_memory" | "swapper";

/** Where the addresses of the symbol tables come from. */
export type SymbolSource = "vmcoreinfo" | "search";

/** A kernel found in an image. */
export interface FoundKernel {
  readonly program: Program;
  /** `Linux version …`, as the kernel prints it at boot; "" where no symbol names it. */
  readonly banner: string;
  readonly vmcoreinfo: Vmcoreinfo | undefined;
  readonly pageTables: PageTableSource;
  readonly symbols: SymbolSource;
  readonly tables: KallsymsTables;
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
}

/** What the headers say comes first: the others take a search of all memory. */
const ALL_SOURCES: readonly PageTableSource[] = [
  "vmcoreinfo_note",
  "cpu_state",
  "vmcoreinfo_memory",
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
 */
export function findKernel(memory: PhysicalMemory, options: FindKernelOptions): FoundKernel {
  const reasons = new Reasons();
  // One for all candidates: remnants and decoys may be many.
  const { budget = searchBudget() } = options;
  for (const candidate of candidates(memory, options, budget)) {
    reasons.note(0, "page tables were found, but they do not map a kernel");
    const space = new AddressSpace(memory, candidate.root, budget.part(CANDIDATE_UNITS));
    if (isStale(space, candidate)) continue;
    for (const { tables, source } of symbolTables(space, candidate.vmcoreinfo)) {
      const kernel = reasons.attempt(() => openKernel(space, candidate, { tables, source }));
      if (kernel !== undefined) return kernel;
    }
    if (budget.isSpent) {
      reasons.giveUp();
      break;
    }
  }
  throw new ImageError(
    `Cannot find a Linux kernel in ${JSON.stringify(options.name)}: ${reasons.closest}`,
  );
}

/**
 * The same kernel read through another view of the same memory, such as one that notes what is
 * read.
 */
export function reopenKernel(memory: PhysicalMemory, found: FoundKernel): FoundKernel {
  const { pageTable } = found.program.memory;
  const candidate = { source: found.pageTables, root: pageTable, vmcoreinfo: found.vmcoreinfo };
  const space = new AddressSpace(memory, pageTable);
  return openKernel(space, candidate, { tables: found.tables, source: found.symbols });
}

/** A candidate is no kernel, and how far it got. */
class Refusal extends Error {
  override readonly name = "Refusal";
  /** 0 page tables, 1 symbols, 2 banner and depth, 3 types. */
  readonly rank: number;

  constructor(rank: number, why: string) {
    super(why);
    this.rank = rank;
  }
}

/** Why candidates were refused; what got furthest is what is worth saying. */
class Reasons {
  closest = 'looked for VMCOREINFO, for the CPU state of QEMU and for the task "swapper/0", ' +
    "found none that leads to one";
  #rank = -1;

  note(rank: number, why: string): void {
    if (rank < this.#rank) return;
    this.#rank = rank;
    this.closest = why;
  }

  giveUp(): void {
    this.closest =
      `gave up among many that look like one; of the last that came close: ${this.closest}`;
  }

  attempt<T>(open: () => T): T | undefined {
    try {
      return open();
    } catch (error) {
      if (error instanceof Refusal) this.note(error.rank, error.message);
      else if (error instanceof KallsymsError || error instanceof MemoryFault) {
        this.note(
          1,
          `page tables were found, but kallsyms cannot be read through them: ${error.message}`,
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
  { tables, source }: { tables: KallsymsTables; source: SymbolSource },
): FoundKernel {
  const stext = vmcoreinfo?.symbol("_stext");
  const symbols = new Kallsyms(
    space,
    tables,
    (address) =>
      stext !== undefined
        ? address === stext
        : address >= KERNEL_IMAGE_START && address < KERNEL_IMAGE_END &&
          (address & 0xfffn) === 0n && space.isMapped(address),
  );
  const banner = readBanner(space, symbols);
  checkDepth(space, symbols);
  const types = readTypes(space, symbols);
  // The search is over: what reads from here on has a budget of its own.
  const program = new Program(new AddressSpace(space.physical, space.pageTable), types, symbols);
  const info = vmcoreinfo ?? readVmcoreinfo(space, symbols);
  return { program, banner, vmcoreinfo: info, pageTables, symbols: source, tables };
}

/** Symbol tables: at the addresses that VMCOREINFO gives, then wherever they look like themselves. */
function* symbolTables(
  space: AddressSpace,
  info: Vmcoreinfo | undefined,
): Generator<{ tables: KallsymsTables; source: SymbolSource }> {
  const tables = info && tablesOf(info);
  if (tables !== undefined) yield { tables, source: "vmcoreinfo" };
  for (const found of findKallsyms(space)) yield { tables: found, source: "search" };
}

/**
 * A table above the top one translates the kernel's image just as well. Where the kernel mapped all
 * memory (`page_offset_base`) tells the depth: with 5 levels that is no address of 4 levels.
 */
function checkDepth(space: AddressSpace, symbols: Kallsyms): void {
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
  { cpus, vmcoreinfo, sources = ALL_SOURCES, inMemory }: FindKernelOptions,
  budget: ReadBudget,
): Generator<Candidate> {
  for (const source of sources) {
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
        yield* ofSwapper(memory, budget);
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
const BTF_START = new Uint8Array([0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0]);
const LARGEST_BTF = 64 * 1024 * 1024;
/** BTF looked at in all; a kernel has 3 to 10 MiB, a machine two or three copies. */
const MOST_BTF = 2 * LARGEST_BTF;
const MAX_BANNER = 512;

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
function* ofSwapper(memory: PhysicalMemory, budget: ReadBudget): Generator<Candidate> {
  const [names = [], types = []] = memory.search(
    [{ bytes: SWAPPER }, { bytes: BTF_START, align: 4 }],
    { limit: MOST_SWAPPERS },
  );
  if (names.length === 0) return;
  for (const layout of taskLayouts(memory, types)) {
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

/** Layouts of the BTFs that lie in physical memory in one piece: the live one and remnants. */
function taskLayouts(memory: PhysicalMemory, starts: readonly number[]): TaskLayout[] {
  const layouts = new Map<string, TaskLayout>();
  let looked = 0;
  for (const address of starts) {
    const header = memory.read(address, 24);
    const length = header && btfLength(header);
    if (length === undefined || length > LARGEST_BTF || looked + length > MOST_BTF) continue;
    const bytes = memory.read(address, length);
    if (bytes === undefined) continue;
    looked += length;
    try {
      const members = new Btf(bytes).struct("task_struct")?.members;
      if (members === undefined) continue;
      const offset = (name: string) => {
        const member = members.get(name);
        if (member === undefined) throw new BtfError(`no member ${name}`);
        return member.bitOffset >>> 3;
      };
      const layout = {
        comm: offset("comm"),
        realParent: offset("real_parent"),
        tasks: offset("tasks"),
      };
      layouts.set(JSON.stringify(layout), layout);
    } catch (error) {
      if (!(error instanceof BtfError)) throw error;
    }
  }
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
function readBanner(space: AddressSpace, symbols: Kallsyms): string {
  const address = symbols.lookup("linux_banner");
  // CONFIG_KALLSYMS_ALL=n keeps no data symbols; `_stext` has proven the tables then.
  if (address === undefined) return "";
  const bytes = space.readUpTo(address, MAX_BANNER);
  const end = bytes.indexOf(0);
  const text = new TextDecoder("latin1").decode(end < 0 ? bytes : bytes.subarray(0, end));
  if (!text.startsWith("Linux version ")) {
    throw new Refusal(2, "symbols were found, but linux_banner does not hold a kernel's banner");
  }
  return text.trimEnd();
}

/** The kernel's own VMCOREINFO, where another way led to it. */
function readVmcoreinfo(space: AddressSpace, symbols: Kallsyms): Vmcoreinfo | undefined {
  const variable = symbols.lookup("vmcoreinfo_data");
  if (variable === undefined) return undefined;
  try {
    return vmcoreinfoOf(space.read(space.readPointer(variable), PAGE_SIZE));
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return undefined;
  }
}

function readTypes(space: AddressSpace, symbols: Kallsyms): Btf {
  const start = symbols.lookup("__start_BTF");
  const stop = symbols.lookup("__stop_BTF");
  if (start === undefined) {
    throw new Refusal(
      3,
      "it carries no BTF (no symbol __start_BTF: CONFIG_DEBUG_INFO_BTF is off)",
    );
  }
  try {
    const length = stop !== undefined && stop > start
      ? Number(stop - start)
      : btfLength(space.read(start, 24)) ?? 0;
    if (length > LARGEST_BTF) throw new BtfError(`it claims to have ${length} bytes`);
    return new Btf(space.read(start, length));
  } catch (error) {
    if (!(error instanceof BtfError || error instanceof MemoryFault)) throw error;
    throw new Refusal(3, `its BTF cannot be read: ${error.message}`);
  }
}
