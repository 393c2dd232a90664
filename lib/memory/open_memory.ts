import { type CpuState, isElf, readElfCore } from "./elf_core.ts";
import { ImageError } from "./image_error.ts";
import type { ImageFile } from "./image_file.ts";
import type { PhysicalMemory } from "./physical_memory.ts";
import { RangeMemory } from "./range_memory.ts";

/** An image's memory, and what its headers say beside it. */
export interface OpenedMemory {
  readonly memory: PhysicalMemory;
  readonly cpus: readonly CpuState[];
  readonly vmcoreinfo: string | undefined;
  /** Damage of the headers that was worked around, one sentence each. */
  readonly damage: readonly string[];
}

/** Formats that are recognised, so that their names can be said, but not read. */
const UNSUPPORTED: readonly { name: string; magic: readonly number[] }[] = [
  { name: "LiME", magic: [0x45, 0x4d, 0x69, 0x4c] },
  { name: "AVML", magic: [0x41, 0x56, 0x4d, 0x4c] },
  { name: "a flattened kdump", magic: ascii("makedumpfile") },
  { name: "a compressed kdump", magic: ascii("KDUMP   ") },
  { name: "a diskdump", magic: ascii("DISKDUMP") },
  { name: "a QEMU migration stream", magic: ascii("QEVM") },
  { name: "a libvirt save file", magic: ascii("LibvirtQemudSave") },
  { name: "gzip data", magic: [0x1f, 0x8b, 0x08] },
  { name: "xz data", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { name: "zstd data", magic: [0x28, 0xb5, 0x2f, 0xfd] },
];

/** Enough for every magic. */
const HEAD_BYTES = 64;

/** Smallest file that can hold a kernel; anything below is not a memory image. */
const SMALLEST_IMAGE = 1024 * 1024;

/**
 * Recognises an image by its content. What has no known magic is raw memory, where a physical
 * address is an offset in the file; whether it is an image at all shows when a kernel is found.
 *
 * @throws {ImageError} when it cannot be an image of a supported format.
 */
export function openMemory(image: ImageFile): OpenedMemory {
  const head = image.read(0, Math.min(image.size, HEAD_BYTES)) ?? new Uint8Array();
  if (isElf(head)) {
    const { ranges, cpus, vmcoreinfo, damage } = readElfCore(image, image.name);
    const format = image.isMapped ? "elf" : "kcore";
    return { memory: new RangeMemory(image, format, ranges), cpus, vmcoreinfo, damage };
  }
  for (const { name, magic } of UNSUPPORTED) {
    if (magic.every((byte, i) => head[i] === byte)) {
      throw new ImageError(
        `Cannot read ${JSON.stringify(image.name)}: it is ${name}, which is not supported`,
      );
    }
  }
  if (image.size < SMALLEST_IMAGE) {
    throw new ImageError(
      `Cannot read ${
        JSON.stringify(image.name)
      }: ${image.size} bytes are too few for a memory image`,
    );
  }
  const memory = new RangeMemory(image, "raw", [{ start: 0, end: image.size, offset: 0 }]);
  return { memory, cpus: [], vmcoreinfo: undefined, damage: [] };
}

/** First address above the hole that PCs leave for devices below 4 GiB. */
const FOUR_GIB = 2 ** 32;

/**
 * The same raw image read with the PCI hole squeezed out: memory from 4 GiB on follows directly
 * after `lowEnd` bytes.
 */
export function squeezedMemory(image: ImageFile, lowEnd: number): PhysicalMemory {
  return new RangeMemory(image, "raw", [
    { start: 0, end: lowEnd, offset: 0 },
    { start: FOUR_GIB, end: FOUR_GIB + (image.size - lowEnd), offset: lowEnd },
  ]);
}

function ascii(text: string): number[] {
  return [...text].map((c) => c.charCodeAt(0));
}
