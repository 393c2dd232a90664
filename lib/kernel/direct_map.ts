import type { AddressSpace } from "./address_space.ts";
import { MemoryFault } from "./memory_fault.ts";
import type { Program } from "./program.ts";

/** The map begins at a multiple of this (`kernel_randomize_memory()` of `arch/x86/mm/kaslr.c`). */
const GIB = 1n << 30n;

/**
 * Where the kernel maps all memory, to name what was found at a physical address. Nothing is read
 * by this arithmetic: each address is proven by the page tables.
 */
export class DirectMap {
  #space: AddressSpace;
  #base: bigint;

  constructor(space: AddressSpace, base: bigint) {
    this.#space = space;
    this.#base = base;
  }

  /** The virtual address of a physical one, or undefined where it is mapped elsewhere or nowhere. */
  addressOf(physical: number): bigint | undefined {
    const address = BigInt.asUintN(64, this.#base + BigInt(physical));
    return physicalOf(this.#space, address) === physical ? address : undefined;
  }
}

/**
 * The map of a kernel, by its variable `page_offset_base`, or from the address of an object in it.
 *
 * @param known An address that the kernel allocated, such as a task's.
 */
export function findDirectMap({ memory, symbols }: Program, known: bigint): DirectMap | undefined {
  const variable = symbols.lookup("page_offset_base");
  let base = variable === undefined ? undefined : pointerAt(memory, variable);
  if (base === undefined) {
    const physical = physicalOf(memory, known);
    if (physical === undefined) return undefined;
    base = known - BigInt(physical);
    if (base % GIB !== 0n) return undefined;
  }
  return new DirectMap(memory, base);
}

function pointerAt(space: AddressSpace, address: bigint): bigint | undefined {
  try {
    return space.readPointer(address);
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return undefined;
  }
}

function physicalOf(space: AddressSpace, address: bigint): number | undefined {
  try {
    return space.translate(address);
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return undefined;
  }
}
