import { openMemory } from "../../lib/memory/open_memory.ts";
import type { AddressRange } from "../../lib/memory/physical_memory.ts";
import { Diagnostics } from "../../lib/scan/diagnostics.ts";
import { openKernelOf, ramRanges } from "../../lib/scan/open_kernel.ts";
import { openImage } from "../ffi/open_image.ts";
import type { SourceMemory } from "../memory/write_formats.ts";

const PAGE = 4096;

/** A guest's memory, and what its kernel says of it. */
export class GuestMemory implements SourceMemory {
  readonly ram: readonly AddressRange[];
  readonly vmcoreinfo: string;
  readonly directMap: bigint;
  readonly #image;

  /** `path` is a raw image in which an offset is a physical address. */
  constructor(path: string) {
    this.#image = openImage(path);
    const diagnostics = new Diagnostics();
    const found = openKernelOf(this.#image, openMemory(this.#image), { diagnostics });
    const { program, vmcoreinfo } = found.kernel;
    const symbol = program.symbols.lookup("page_offset_base")!;
    this.directMap = program.memory.readPointer(symbol);
    this.vmcoreinfo = vmcoreinfo!.text;
    this.ram = ramRanges(found.kernel, diagnostics)!.map(({ start, end }) => ({
      start: Math.ceil(start / PAGE) * PAGE,
      end: Math.min(Math.floor(end / PAGE) * PAGE, this.#image.size),
    }));
  }

  get size(): number {
    return this.#image.size;
  }

  bytes(start: number, end: number): Uint8Array {
    return this.#image.bytes.subarray(start, end);
  }

  [Symbol.dispose](): void {
    this.#image.close();
  }
}
