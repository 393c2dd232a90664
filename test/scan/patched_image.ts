import { readFileSync } from "node:fs";
import { findKernel } from "../../lib/kernel/find_kernel.ts";
import type { Program } from "../../lib/kernel/program.ts";
import { readElfCore } from "../../lib/memory/elf_core.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import type { MemoryRange, PhysicalMemory } from "../../lib/memory/physical_memory.ts";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { u64 } from "../kernel/fake_machine.ts";
import { BufferImage } from "../memory/buffer_image.ts";

/** A copy of a real image in memory, to be changed at addresses of its kernel. */
export class PatchedImage {
  readonly image: BufferImage;
  readonly memory: PhysicalMemory;
  readonly #ranges: readonly MemoryRange[];
  readonly program: Program;

  /** Of a fixture, as `imageFixtures()` names it. */
  constructor(fixture: string) {
    this.image = new BufferImage(new Uint8Array(readFileSync(unpackFixture(fixture))), fixture);
    const { memory, cpus, vmcoreinfo } = openMemory(this.image);
    this.memory = memory;
    this.#ranges = readElfCore(this.image).ranges;
    this.program = findKernel(memory, { name: fixture, cpus, vmcoreinfo }).program;
  }

  get bytes(): Uint8Array {
    return this.image.bytes;
  }

  /** Writes at a virtual address of the kernel. */
  write(address: bigint, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const at = address + BigInt(done);
      const take = Math.min(bytes.length - done, 4096 - Number(at & 0xfffn));
      this.writePhysical(this.program.memory.translate(at), bytes.subarray(done, done + take));
      done += take;
    }
  }

  /** Writes a 64-bit value at a virtual address of the kernel. */
  writeWord(address: bigint, value: bigint): void {
    this.write(address, u64(value));
  }

  writePhysical(address: number, bytes: Uint8Array): void {
    const range = this.#ranges.find(({ start, end }) => start <= address && address < end);
    if (range === undefined) throw new Error(`0x${address.toString(16)} is not in the image`);
    this.bytes.set(bytes, range.offset + (address - range.start));
  }
}

/** A fixture with its VMCOREINFO note, to be damaged. */
export function someFixture(): string {
  const name = imageFixtures().find((name) => !name.includes("bare"));
  if (name === undefined) throw new Error("there is no image in fixtures/");
  return name;
}
