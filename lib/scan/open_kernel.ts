import {
  findKernel,
  type FindKernelOptions,
  type FoundKernel,
  reopenKernel,
  searchBudget,
} from "../kernel/find_kernel.ts";
import { pageTablesOf } from "../kernel/find_page_tables.ts";
import { WrongKernelError } from "../kernel/kernel_file_error.ts";
import type { KernelFiles } from "../kernel/kernel_files.ts";
import { BrokenList } from "../kernel/lists.ts";
import { findVmcoreinfo, type Vmcoreinfo } from "../kernel/vmcoreinfo.ts";
import { ElidedMemory } from "../memory/elided_memory.ts";
import { ImageError } from "../memory/image_error.ts";
import type { ByteSource, ImageFile } from "../memory/image_file.ts";
import { type OpenedMemory, squeezedMemory } from "../memory/open_memory.ts";
import type { AddressRange, PhysicalMemory, TellProgress } from "../memory/physical_memory.ts";
import type { Diagnostics } from "./diagnostics.ts";
import { isUnreadable } from "./diagnostics.ts";

/** The kernel of an image, and the memory it was found in. */
export interface OpenedKernel {
  readonly kernel: FoundKernel;
  readonly memory: PhysicalMemory;
  /**
   * How a raw image lays out memory above 4 GiB: `padded`, with the PCI hole in the file, or
   * `squeezed`, without. `elided` where an image leaves out RAM that is all zeros (AVML), which then
   * reads as zeros. Undefined where it makes no difference or cannot be told.
   */
  readonly layout: "padded" | "squeezed" | "elided" | undefined;
}

const FOUR_GIB = 2 ** 32;
/** Chipsets put the hole's lower end at multiples of this. */
const HOLE_STEP = 256 * 1024 * 1024;
/** Firmware keeps some memory below the hole that the kernel does not count as RAM. */
const MAX_FIRMWARE = 64 * 1024 * 1024;

/**
 * Finds the kernel, and in a raw image whether the PCI hole is in the file: pages above 4 GiB would
 * silently be the wrong ones otherwise.
 *
 * @throws {ImageError} when there is no kernel.
 */
export function openKernelOf(
  image: ImageFile,
  opened: OpenedMemory,
  { diagnostics, sources, files = {}, progress }: {
    diagnostics: Diagnostics;
    sources?: FindKernelOptions["sources"];
    files?: KernelFiles;
    progress?: TellProgress | undefined;
  },
): OpenedKernel {
  const { memory, cpus, vmcoreinfo } = opened;
  const options = {
    name: image.name,
    cpus,
    vmcoreinfo,
    files,
    progress,
    ...(sources === undefined ? {} : { sources }),
  };
  const { raw } = opened;
  if (raw === undefined) {
    const found = { kernel: findKernelIn(opened, options), memory, layout: undefined };
    return opened.elided ? withElided(found, diagnostics) : found;
  }
  const inMemory = [...findVmcoreinfo(memory, progress)];
  const isAbove = (info: Vmcoreinfo) => (pageTablesOf(info) ?? 0) >= FOUR_GIB;
  const above = findSqueezed(raw, memory, { inMemory: inMemory.filter(isAbove), files });
  if (above !== undefined) return rawLayout(raw, above, diagnostics);
  // Page tables below the hole, and above it what they lead to: that is missing, or damaged.
  const squeezedBelow = () =>
    findSqueezed(raw, memory, { inMemory: inMemory.filter((info) => !isAbove(info)), files });
  let kernel: FoundKernel;
  try {
    kernel = findKernel(memory, { ...options, inMemory });
  } catch (error) {
    const squeezed = error instanceof ImageError ? squeezedBelow() : undefined;
    if (squeezed === undefined) throw error;
    return rawLayout(raw, squeezed, diagnostics);
  }
  const squeezed = isWhole(kernel) ? undefined : squeezedBelow();
  return rawLayout(raw, squeezed ?? { kernel, memory, layout: undefined }, diagnostics);
}

/** Whether what a kernel keeps of itself, in several places, can be read. */
function isWhole(kernel: FoundKernel): boolean {
  if (kernel.damage.length > 0) return false;
  try {
    const ram = readRamRanges(kernel);
    return ram === undefined || ram.length > 0;
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return false;
  }
}

/** Finds the kernel; the error tells of damage to the image, which may be why there is none. */
function findKernelIn({ memory, damage }: OpenedMemory, options: FindKernelOptions): FoundKernel {
  try {
    return findKernel(memory, options);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    const { undecodable = 0 } = memory;
    const said = [error.message, ...damage.slice(0, 1)];
    if (undecodable > 0) said.push(`${undecodable} blocks of memory are damaged`);
    throw new ImageError(said.join("; "));
  }
}

/** Lets zeros that the image leaves out read as zeros, where the kernel says that it had memory. */
function withElided(found: OpenedKernel, diagnostics: Diagnostics): OpenedKernel {
  const ram = ramRanges(found.kernel, diagnostics);
  if (ram === undefined) {
    diagnostics.report(
      "zeros_unknown",
      "the image leaves out blocks of zeros, and the machine's memory map is not known",
      "pages of zeros, which read as absent",
    );
    return found;
  }
  const memory = new ElidedMemory(found.memory, ram);
  if (memory.elided === 0) return found;
  return { kernel: reopenKernel(memory, found.kernel), memory, layout: "elided" };
}

/**
 * A whole kernel that VMCOREINFO leads to only if the PCI hole is not in the file: every place for it is
 * tried.
 */
function findSqueezed(
  raw: ByteSource,
  flat: PhysicalMemory,
  { inMemory, files }: { inMemory: readonly Vmcoreinfo[]; files: KernelFiles },
): OpenedKernel | undefined {
  const budget = searchBudget();
  for (const info of inMemory) {
    const options = {
      name: raw.name,
      cpus: [],
      vmcoreinfo: undefined,
      inMemory: [info],
      sources: ["vmcoreinfo_memory"],
      budget,
      files,
    } as const;
    try {
      if (tryFindWhole(flat, options) !== undefined) return undefined;
    } catch (error) {
      // There is a kernel, and the files are of another: that is said when all of it is looked at.
      if (!(error instanceof WrongKernelError)) throw error;
      return undefined;
    }
    for (let lowEnd = HOLE_STEP; lowEnd < Math.min(FOUR_GIB, raw.size); lowEnd += HOLE_STEP) {
      const memory = squeezedMemory(raw, lowEnd);
      const kernel = tryFindWhole(memory, options);
      if (kernel !== undefined) return { kernel, memory, layout: "squeezed" };
    }
  }
  return undefined;
}

function tryFindWhole(
  memory: PhysicalMemory,
  options: FindKernelOptions,
): FoundKernel | undefined {
  try {
    const kernel = findKernel(memory, options);
    return isWhole(kernel) ? kernel : undefined;
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    return undefined;
  }
}

/** Settles the layout by the memory that the firmware reported to the kernel, and the file's size. */
function rawLayout(
  raw: ByteSource,
  found: OpenedKernel,
  diagnostics: Diagnostics,
): OpenedKernel {
  const ram = ramRanges(found.kernel, diagnostics);
  if (ram === undefined) return found;
  const end = Math.max(...ram.map((range) => range.end));
  if (raw.size >= end) {
    return end > FOUR_GIB && found.layout === undefined ? { ...found, layout: "padded" } : found;
  }
  if (end > FOUR_GIB) {
    const lowEnd = raw.size - (end - FOUR_GIB);
    const lowRamEnd = Math.max(...ram.filter((r) => r.start < FOUR_GIB).map((r) => r.end));
    if (lowEnd >= lowRamEnd && lowEnd <= FOUR_GIB && lowEnd - lowRamEnd <= MAX_FIRMWARE) {
      const memory = squeezedMemory(raw, lowEnd);
      return { kernel: reopenKernel(memory, found.kernel), memory, layout: "squeezed" };
    }
  }
  diagnostics.report(
    "image_short",
    `the machine's memory ends at ${end}, the image at ${raw.size}`,
    "whatever lies in the rest",
  );
  return found;
}

/** `E820_TYPE_RAM` (`arch/x86/include/asm/e820/types.h`). */
const E820_RAM = 1;
const MAX_E820_ENTRIES = 4096;

/** RAM as the kernel's `e820_table` lists it, ascending; undefined where it cannot be read. */
export function ramRanges(
  kernel: Pick<FoundKernel, "program">,
  diagnostics: Diagnostics,
): AddressRange[] | undefined {
  try {
    const ranges = readRamRanges(kernel);
    return ranges?.length === 0 ? undefined : ranges;
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    diagnostics.report(
      "memory_map_unreadable",
      `e820_table: ${error.message}`,
      "whether the image is laid out as it seems",
    );
    return undefined;
  }
}

/** The same; undefined where the kernel does not name the table. */
function readRamRanges({ program }: Pick<FoundKernel, "program">): AddressRange[] | undefined {
  const symbol = program.symbols.lookup("e820_table");
  if (symbol === undefined) return undefined;
  const table = program.object("e820_table", program.memory.readPointer(symbol));
  const count = Math.min(table.number("nr_entries"), MAX_E820_ENTRIES);
  const entry = program.struct("e820_entry");
  const ranges: AddressRange[] = [];
  for (let i = 0; i < count; i++) {
    const at = table.addressOf("entries") + BigInt(i * entry.size);
    const item = program.object("e820_entry", at);
    if (item.number("type") !== E820_RAM) continue;
    const start = item.number("addr");
    const end = start + item.number("size");
    // Physical addresses have at most 52 bits.
    if (end > 2 ** 52) throw new BrokenList(`entry ${i} ends at ${end}`);
    ranges.push({ start, end });
  }
  return apart(ranges);
}

/** Ascending, and what several hold once. */
function apart(ranges: readonly AddressRange[]): AddressRange[] {
  let last = 0;
  return [...ranges].sort((a, b) => a.start - b.start).flatMap(({ start, end }) => {
    const from = Math.max(start, last);
    last = Math.max(last, end);
    return from < end ? [{ start: from, end }] : [];
  });
}
