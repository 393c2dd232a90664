import type { Program } from "../../lib/kernel/program.ts";
import { findKernel } from "../../lib/kernel/find_kernel.ts";
import { readElfCore } from "../../lib/memory/elf_core.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import type { MappedImage } from "../../ffi/memory.ts";
import { openImage } from "../ffi/open_image.ts";
import { u64 } from "../kernel/fake_machine.ts";
import type { EditableImage } from "../scan/hide_task.ts";
import { run } from "./run.ts";

/** An ELF core of a guest, to be changed at addresses of its kernel. */
export class EditedDump implements EditableImage {
  readonly program: Program;
  readonly #image: MappedImage;
  readonly #file: Deno.FsFile;

  private constructor(path: string) {
    this.#image = openImage(path);
    this.#file = Deno.openSync(path, { write: true });
    const { memory, cpus, vmcoreinfo } = openMemory(this.#image);
    this.program = findKernel(memory, { name: path, cpus, vmcoreinfo }).program;
  }

  /** Copies a dump, holes as holes, and opens the copy. */
  static async copy(dump: string, path: string): Promise<EditedDump> {
    await run("cp", ["--sparse=always", dump, path]);
    return new EditedDump(path);
  }

  writeWord(address: bigint, value: bigint): void {
    const physical = this.program.memory.translate(address);
    const { ranges } = readElfCore(this.#image);
    const range = ranges.find(({ start, end }) => start <= physical && physical < end);
    if (range === undefined) throw new Error(`0x${physical.toString(16)} is not in the dump`);
    this.#file.seekSync(range.offset + (physical - range.start), Deno.SeekMode.Start);
    this.#file.writeSync(u64(value));
  }

  [Symbol.dispose](): void {
    this.#file.close();
    this.#image.close();
  }
}
