import {
  findKernel,
  type FindKernelOptions,
  type FoundKernel,
  pageTablesOf,
  reopenKernel,
  searchBudget,
} from "../kernel/find_kernel.ts";
import { findVmcoreinfo, type Vmcoreinfo } from "../kernel/vmcoreinfo.ts";
import { ImageError } from "../memory/image_error.ts";
import type { ImageFile } from "../memory/image_file.ts";
import { type OpenedMemory, squeezedMemory } from "../memory/open_memory.ts";
import type { PhysicalMemory } from "../memory/physical_memory.ts";
import type { Diagnostics } from "./diagnostics.ts";
import { isUnreadable } from "./diagnostics.ts";

/** The kernel of an image, and the memory it was found in. */
export interface OpenedKernel {
  readonly kernel: FoundKernel;
  readonly memory: PhysicalMemory;
  /**
   * How a raw image lays out memory above 4 GiB: `padded`, with the PCI hole in the file, or
   * `squeezed`, without. Undefined where it makes no difference or cannot be told.
   */
  readonly layout: "padded" | "squeezed" | undefined;
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
  { diagnostics, sources }: {
    diagnostics: Diagnostics;
    sources?: FindKernelOptions["sources"];
  },
): OpenedKernel {
  const { memory, cpus, vmcoreinfo } = opened;
  const options = {
    name: image.name,
    cpus,
    vmcoreinfo,
    ...(sources === undefined ? {} : { sources }),
  };
  if (memory.format !== "raw") {
    return { kernel: findKernel(memory, options), memory, layout: undefined };
  }
  const inMemory = findVmcoreinfo(memory);
  const above = findAboveHole(image, memory, inMemory);
  if (above !== undefined) return above;
  const kernel = findKernel(memory, { ...options, inMemory });
  return rawLayout(image, { kernel, memory, layout: undefined }, diagnostics);
}

/**
 * A kernel that VMCOREINFO places above 4 GiB, and that is not there: every place for the hole that
 * may be missing from the file is tried.
 */
function findAboveHole(
  image: ImageFile,
  flat: PhysicalMemory,
  inMemory: readonly Vmcoreinfo[],
): OpenedKernel | undefined {
  const budget = searchBudget();
  for (const info of inMemory) {
    if ((pageTablesOf(info) ?? 0) < FOUR_GIB) continue;
    const options = {
      name: image.name,
      cpus: [],
      vmcoreinfo: undefined,
      inMemory: [info],
      sources: ["vmcoreinfo_memory"],
      budget,
    } as const;
    if (tryFindKernel(flat, options) !== undefined) return undefined;
    for (let lowEnd = HOLE_STEP; lowEnd < Math.min(FOUR_GIB, image.size); lowEnd += HOLE_STEP) {
      const memory = squeezedMemory(image, lowEnd);
      const kernel = tryFindKernel(memory, options);
      if (kernel !== undefined) return { kernel, memory, layout: "squeezed" };
    }
  }
  return undefined;
}

function tryFindKernel(
  memory: PhysicalMemory,
  options: FindKernelOptions,
): FoundKernel | undefined {
  try {
    return findKernel(memory, options);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    return undefined;
  }
}

/** Compares the file's size with the memory that the firmware reported to the kernel. */
function rawLayout(
  image: ImageFile,
  flat: OpenedKernel,
  diagnostics: Diagnostics,
): OpenedKernel {
  const ram = ramRanges(flat.kernel, diagnostics);
  if (ram === undefined) return flat;
  const end = Math.max(...ram.map((range) => range.end));
  if (image.size >= end) {
    return end > FOUR_GIB ? { ...flat, layout: "padded" } : flat;
  }
  if (end > FOUR_GIB) {
    const lowEnd = image.size - (end - FOUR_GIB);
    const lowRamEnd = Math.max(...ram.filter((r) => r.start < FOUR_GIB).map((r) => r.end));
    if (lowEnd >= lowRamEnd && lowEnd <= FOUR_GIB && lowEnd - lowRamEnd <= MAX_FIRMWARE) {
      const memory = squeezedMemory(image, lowEnd);
      return { kernel: reopenKernel(memory, flat.kernel), memory, layout: "squeezed" };
    }
  }
  diagnostics.report(
    "image_short",
    `the machine's memory ends at ${end}, the image at ${image.size}`,
    "whatever lies in the rest",
  );
  return flat;
}

/** `E820_TYPE_RAM` (`arch/x86/include/asm/e820/types.h`). */
const E820_RAM = 1;
const MAX_E820_ENTRIES = 4096;

/** RAM as the kernel's `e820_table` lists it, or undefined where it cannot be read. */
function ramRanges(
  { program }: FoundKernel,
  diagnostics: Diagnostics,
): { start: number; end: number }[] | undefined {
  const symbol = program.symbols.lookup("e820_table");
  if (symbol === undefined) return undefined;
  try {
    const table = program.object("e820_table", program.memory.readPointer(symbol));
    const count = Math.min(table.number("nr_entries"), MAX_E820_ENTRIES);
    const entry = program.struct("e820_entry");
    const ranges: { start: number; end: number }[] = [];
    for (let i = 0; i < count; i++) {
      const at = table.addressOf("entries") + BigInt(i * entry.size);
      const item = program.object("e820_entry", at);
      if (item.number("type") !== E820_RAM) continue;
      const start = item.number("addr");
      ranges.push({ start, end: start + item.number("size") });
    }
    return ranges.length === 0 ? undefined : ranges;
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
