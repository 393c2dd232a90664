import { ImageError } from "../memory/image_error.ts";
import type { PhysicalMemory } from "../memory/physical_memory.ts";
import type { AddressSpace } from "./address_space.ts";
import { Btf } from "./btf.ts";
import { BtfError, btfLength } from "./btf_format.ts";
import type { GivenTypes } from "./kernel_files.ts";
import { MemoryFault } from "./memory_fault.ts";
import { Rank, Refusal } from "./refusal.ts";
import { KERNEL_IMAGE_END, KERNEL_IMAGE_START, type KernelSymbols } from "./symbols.ts";

/** Where types come from: BTF where a symbol says, found by its looks, a copy of it, or a file. */
export type TypeSource = "__start_BTF" | "search" | "copy" | GivenTypes["source"];

/** A kernel's BTF starts so: magic, version 1, flags 0, header of 24 bytes. */
export const BTF_PATTERN = {
  bytes: new Uint8Array([0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0]),
  align: 4,
};
/** Anyone can write these bytes, too. */
const MOST_BTF_STARTS = 4096;
const LARGEST_BTF = 64 * 1024 * 1024;
/** BTF looked at in all; a kernel has 3 to 10 MiB, a machine two or three copies. */
const MOST_BTF = 2 * LARGEST_BTF;

const PAGE_SIZE = 4096;

/** The kernel's own types, and how they were come by. */
interface OwnTypes {
  readonly types: Btf;
  readonly source: TypeSource;
}

/**
 * The types where symbols say, or where that is not known, in the kernel's image. Damaged ones are
 * taken from a copy of them: the kernel was unpacked in memory that may not have been used since.
 */
export function ownTypes(space: AddressSpace, symbols: KernelSymbols): OwnTypes {
  const start = symbols.lookup("__start_BTF");
  if (start === undefined) {
    const types = findBtf(space);
    if (types !== undefined) return { types, source: "search" };
    throw new Refusal(
      Rank.TYPES,
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
      Rank.TYPES,
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
export function* findBlobs(
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
