import { ImageError } from "../memory/image_error.ts";
import type { CpuState } from "../memory/elf_core.ts";
import type { PhysicalMemory } from "../memory/physical_memory.ts";
import { AddressSpace, type PageTableRoot } from "./address_space.ts";
import { Btf, BtfError, btfLength } from "./btf.ts";
import { findKallsyms, KERNEL_IMAGE_END, KERNEL_IMAGE_START } from "./find_kallsyms.ts";
import { Kallsyms, KallsymsError, type KallsymsTables } from "./kallsyms.ts";
import { MemoryFault } from "./memory_fault.ts";
import { Program } from "./program.ts";
import { findVmcoreinfo, Vmcoreinfo } from "./vmcoreinfo.ts";

/** Ways to find the page tables, in the order in which they are tried. */
export type PageTableSource = "vmcoreinfo_note" | "vmcoreinfo_memory" | "cpu_state" | "swapper";

/** A kernel found in an image. */
export interface FoundKernel {
  readonly program: Program;
  /** `Linux version …`, as the kernel prints it at boot. */
  readonly banner: string;
  readonly vmcoreinfo: Vmcoreinfo | undefined;
  /** How each part was found, for the start record. */
  readonly how: {
    readonly pageTables: PageTableSource;
    readonly symbols: "vmcoreinfo" | "search";
    readonly types: "__start_BTF";
  };
}

/** What the image's headers say, and which ways are allowed (all by default). */
export interface FindKernelOptions {
  /** The image's name, for messages. */
  readonly name: string;
  readonly cpus: readonly CpuState[];
  readonly vmcoreinfo: string | undefined;
  readonly sources?: readonly PageTableSource[];
}

const ALL_SOURCES: readonly PageTableSource[] = [
  "vmcoreinfo_note",
  "vmcoreinfo_memory",
  "cpu_state",
  "swapper",
];

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
  let closest: { rank: number; why: string } = { rank: 0, why: "" };
  const note = (rank: number, why: string) => {
    if (rank >= closest.rank) closest = { rank, why };
  };
  let tried = 0;
  for (const candidate of candidates(memory, options)) {
    tried++;
    const space = new AddressSpace(memory, candidate.root);
    const symbols = findSymbols(space, candidate.vmcoreinfo, note);
    if (symbols === undefined) continue;
    const banner = readBanner(space, symbols.kallsyms);
    if (banner === undefined) {
      note(2, "symbols were found, but linux_banner does not hold a kernel's banner");
      continue;
    }
    const types = readTypes(space, symbols.kallsyms, note);
    if (types === undefined) continue;
    return {
      program: new Program(space, types, symbols.kallsyms),
      banner,
      vmcoreinfo: candidate.vmcoreinfo,
      how: { pageTables: candidate.source, symbols: symbols.how, types: "__start_BTF" },
    };
  }
  const name = JSON.stringify(options.name);
  if (tried === 0) {
    throw new ImageError(
      `Cannot find a Linux kernel in ${name}: looked for VMCOREINFO, the CPU state of QEMU and ` +
        `the task "swapper/0", found none`,
    );
  }
  throw new ImageError(`Cannot find a Linux kernel in ${name}: ${closest.why}`);
}

function* candidates(
  memory: PhysicalMemory,
  { cpus, vmcoreinfo, sources = ALL_SOURCES }: FindKernelOptions,
): Generator<Candidate> {
  for (const source of sources) {
    switch (source) {
      case "vmcoreinfo_note":
        if (vmcoreinfo !== undefined) yield* ofVmcoreinfo(new Vmcoreinfo(vmcoreinfo), source);
        break;
      case "vmcoreinfo_memory":
        for (const info of findVmcoreinfo(memory)) yield* ofVmcoreinfo(info, source);
        break;
      case "cpu_state":
        yield* ofCpus(memory, cpus);
        break;
      case "swapper":
        yield* ofSwapper(memory);
        break;
    }
  }
}

/** The page tables that VMCOREINFO names; unknown depth is tried both ways. */
function* ofVmcoreinfo(info: Vmcoreinfo, source: PageTableSource): Generator<Candidate> {
  const table = info.symbol("swapper_pg_dir") ?? info.symbol("init_top_pgt");
  const physBase = info.number("phys_base");
  if (table === undefined || physBase === undefined) return;
  const root = Number(table - KERNEL_IMAGE_START + physBase);
  if (root < 0) return;
  const smeMask = info.number("sme_mask") ?? 0n;
  const deep = info.number("pgtable_l5_enabled");
  const depths: (4 | 5)[] = deep === undefined ? [5, 4] : deep === 1n ? [5] : [4];
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
/** A kernel's BTF starts so: magic, version 1, flags 0, header of 24 bytes. */
const BTF_START = new Uint8Array([0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0]);
const LARGEST_BTF = 64 * 1024 * 1024;

/** Half of the window around the first task in which the kernel's image can lie. */
const IMAGE_SPAN = 128 * 1024 * 1024;
const PAGE_SIZE = 4096;

/**
 * The page tables, found from the task `swapper/0`: it lies in the kernel's image and is its own
 * parent, so both its physical and its virtual address are known. The kernel's top table lies in
 * the image too, so of the pages around it one translates that address, and that of the next task.
 */
function* ofSwapper(memory: PhysicalMemory): Generator<Candidate> {
  const tasks = memory.search(SWAPPER, { limit: 256 });
  if (tasks.length === 0) return;
  for (const layout of taskLayouts(memory)) {
    for (const comm of tasks) {
      const physical = comm - layout.comm;
      const virtual = readPointer(memory, physical + layout.realParent);
      const next = readPointer(memory, physical + layout.tasks);
      if (virtual === undefined || next === undefined) continue;
      if (virtual < KERNEL_IMAGE_START || virtual >= KERNEL_IMAGE_END) continue;
      for (const root of rootsAround(memory, { physical, virtual, next })) {
        yield { source: "swapper", root, vmcoreinfo: undefined };
      }
    }
  }
}

function* rootsAround(
  memory: PhysicalMemory,
  { physical, virtual, next }: { physical: number; virtual: bigint; next: bigint },
): Generator<PageTableRoot> {
  const page = physical - physical % PAGE_SIZE;
  for (const levels of [5, 4] as const) {
    for (const smeMask of [0n, 1n << 47n, 1n << 51n]) {
      const start = Math.max(0, page - IMAGE_SPAN);
      for (let root = start; root < page + IMAGE_SPAN; root += PAGE_SIZE) {
        // The image is mapped by the last entry of the top table in either depth.
        const last = memory.read(root + PAGE_SIZE - 8, 1);
        if (last === undefined || (last[0]! & 1) === 0) continue;
        const space = new AddressSpace(memory, { root, levels, smeMask });
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

/** Layouts of every BTF that lies in physical memory in one piece: the live one and remnants. */
function taskLayouts(memory: PhysicalMemory): TaskLayout[] {
  const layouts = new Map<string, TaskLayout>();
  for (const address of memory.search(BTF_START, { align: 4 })) {
    const header = memory.read(address, 24);
    const length = header && btfLength(header);
    if (length === undefined || length > LARGEST_BTF) continue;
    const bytes = memory.read(address, length);
    if (bytes === undefined) continue;
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

/** The symbols: at the addresses that VMCOREINFO gives, else wherever they look like themselves. */
function findSymbols(
  space: AddressSpace,
  info: Vmcoreinfo | undefined,
  note: (rank: number, why: string) => void,
): { kallsyms: Kallsyms; how: "vmcoreinfo" | "search" } | undefined {
  const stext = info?.symbol("_stext");
  const isStext = stext !== undefined
    ? (address: bigint) => address === stext
    : (address: bigint) =>
      address >= KERNEL_IMAGE_START && address < KERNEL_IMAGE_END && (address & 0xfffn) === 0n &&
      space.isReadable(address);
  const tables = info && tablesOf(info);
  if (tables !== undefined) {
    try {
      return { kallsyms: new Kallsyms(space, tables, isStext), how: "vmcoreinfo" };
    } catch (error) {
      if (!isExpected(error)) throw error;
      note(1, `kallsyms at the addresses of VMCOREINFO cannot be decoded: ${error.message}`);
    }
  }
  let mapped = false;
  for (const _ of space.mappedRanges(KERNEL_IMAGE_START, KERNEL_IMAGE_END)) {
    mapped = true;
    break;
  }
  if (!mapped) {
    note(0, "page tables were found, but they do not map a kernel");
    return undefined;
  }
  for (const found of findKallsyms(space)) {
    try {
      return { kallsyms: new Kallsyms(space, found, isStext), how: "search" };
    } catch (error) {
      if (!isExpected(error)) throw error;
      note(1, `kallsyms cannot be decoded: ${error.message}`);
    }
  }
  note(1, "page tables map a kernel, but it has no kallsyms that can be decoded");
  return undefined;
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

const MAX_BANNER = 512;

/** The text of `linux_banner`, or undefined when there is none or it is something else. */
function readBanner(space: AddressSpace, symbols: Kallsyms): string | undefined {
  const address = symbols.lookup("linux_banner");
  // CONFIG_KALLSYMS_ALL=n keeps no data symbols; `_stext` has proven the tables then.
  if (address === undefined) return "";
  try {
    const bytes = space.readUpTo(address, MAX_BANNER);
    const end = bytes.indexOf(0);
    const text = new TextDecoder("latin1").decode(end < 0 ? bytes : bytes.subarray(0, end));
    return text.startsWith("Linux version ") ? text.trimEnd() : undefined;
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return undefined;
  }
}

function readTypes(
  space: AddressSpace,
  symbols: Kallsyms,
  note: (rank: number, why: string) => void,
): Btf | undefined {
  const start = symbols.lookup("__start_BTF");
  const stop = symbols.lookup("__stop_BTF");
  if (start === undefined) {
    note(3, "the kernel carries no BTF (no symbol __start_BTF; CONFIG_DEBUG_INFO_BTF is off)");
    return undefined;
  }
  try {
    const length = stop !== undefined && stop > start
      ? Number(stop - start)
      : btfLength(space.read(start, 24)) ?? 0;
    if (length > LARGEST_BTF) {
      note(3, `the kernel's BTF claims to have ${length} bytes`);
      return undefined;
    }
    return new Btf(space.read(start, length));
  } catch (error) {
    if (!(error instanceof BtfError || error instanceof MemoryFault)) throw error;
    note(3, `the kernel's BTF cannot be read: ${error.message}`);
    return undefined;
  }
}

function isExpected(error: unknown): error is Error {
  return error instanceof KallsymsError || error instanceof MemoryFault;
}
