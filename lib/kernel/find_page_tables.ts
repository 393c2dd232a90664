import type { CpuState } from "../memory/elf_core.ts";
import type { PhysicalMemory, TellProgress } from "../memory/physical_memory.ts";
import { AddressSpace, type PageTableRoot } from "./address_space.ts";
import { BTF_PATTERN, findBlobs } from "./find_btf.ts";
import type { KernelFiles } from "./kernel_files.ts";
import { MemoryFault } from "./memory_fault.ts";
import type { ReadBudget } from "./read_budget.ts";
import { KERNEL_IMAGE_END, KERNEL_IMAGE_START } from "./symbols.ts";
import type { KernelTypes } from "./types.ts";
import { findVmcoreinfo, Vmcoreinfo } from "./vmcoreinfo.ts";

/** Ways to find the page tables, in the order in which they are tried. */
export type PageTableSource = "vmcoreinfo_note" | "cpu_state" | "vmcoreinfo_memory" | "swapper";

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

/** What the image's headers say of page tables, and which ways to them are allowed. */
export interface PageTableSearch {
  readonly cpus: readonly CpuState[];
  readonly vmcoreinfo: string | undefined;
  /** All by default. */
  readonly sources?: readonly PageTableSource[];
  /** What {@linkcode findVmcoreinfo} finds, where the caller has looked already. */
  readonly inMemory?: Iterable<Vmcoreinfo>;
  /** What is used in place of the kernel's own symbols and types. */
  readonly files?: KernelFiles;
  /** Called as memory is searched. */
  readonly progress?: TellProgress | undefined;
}

/** Page tables that may be the kernel's. */
export interface Candidate {
  readonly source: PageTableSource;
  readonly root: PageTableRoot;
  readonly vmcoreinfo: Vmcoreinfo | undefined;
}

/** Page tables that may be the kernel's, the likeliest first. */
export function* findPageTables(
  memory: PhysicalMemory,
  { cpus, vmcoreinfo, sources, inMemory, files, progress }: PageTableSearch,
  budget: ReadBudget,
): Generator<Candidate> {
  const usual = (files?.symbols ?? files?.types) ? SOURCES_WITH_FILES : ALL_SOURCES;
  for (const source of sources ?? usual) {
    switch (source) {
      case "vmcoreinfo_note":
        if (vmcoreinfo !== undefined) yield* ofVmcoreinfo(new Vmcoreinfo(vmcoreinfo), source);
        break;
      case "vmcoreinfo_memory":
        for (const info of inMemory ?? findVmcoreinfo(memory, progress)) {
          yield* ofVmcoreinfo(info, source);
        }
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
export function isStale(space: AddressSpace, { vmcoreinfo, root }: Candidate): boolean {
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
/** Half of the window around the first task in which the kernel's image can lie. */
const IMAGE_SPAN = 128 * 1024 * 1024;
const PAGE_SIZE = 4096;
/** What a look at each page of the window costs of a {@linkcode ReadBudget}. */
const UNITS_AROUND = 2 * IMAGE_SPAN / PAGE_SIZE;
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
