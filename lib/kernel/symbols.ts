/** The symbols of one kernel by name, at the addresses that they have in the image. */
export interface KernelSymbols {
  /** Number of symbols. */
  readonly count: number;
  /** The address of a symbol, the first where several share the name, or undefined. */
  lookup(name: string): bigint | undefined;
  /** The addresses of all symbols of a name. */
  lookupAll(name: string): readonly bigint[];
}

/** Where the kernel's image lies on x86-64 (`arch/x86/include/asm/page_64_types.h`). */
export const KERNEL_IMAGE_START = 0xffffffff80000000n;
/** End of the image's address range; modules follow. */
export const KERNEL_IMAGE_END = 0xffffffffc0000000n;

/** Whether an address is one of the kernel's image. */
export function isInImage(address: bigint): boolean {
  return address >= KERNEL_IMAGE_START && address < KERNEL_IMAGE_END;
}

/** The symbols of a kernel as a file has them: where they were linked, or where they were loaded. */
export interface LinkedSymbols {
  /** Number of symbols. */
  readonly count: number;
  /** The addresses of all symbols of a name. */
  addressesOf(name: string): readonly bigint[];
}

/** Symbols of a file, moved to where the kernel was loaded. */
export class SlidSymbols implements KernelSymbols {
  readonly count: number;
  /** What KASLR added to the addresses in the file, in bytes. */
  readonly slide: bigint;
  #linked: LinkedSymbols;

  constructor(linked: LinkedSymbols, slide: bigint) {
    this.count = linked.count;
    this.slide = slide;
    this.#linked = linked;
  }

  lookup(name: string): bigint | undefined {
    return this.lookupAll(name)[0];
  }

  lookupAll(name: string): readonly bigint[] {
    // Offsets in the per-CPU area and other absolute values stay.
    return this.#linked.addressesOf(name).map((at) => isInImage(at) ? at + this.slide : at);
  }
}
