import { Avml, AVML_MAGIC } from "./avml.ts";
import { BlockMemory } from "./block_memory.ts";
import { CoreBlocks } from "./core_blocks.ts";
import { type CpuState, isElf, readElfCore } from "./elf_core.ts";
import { FLATTENED_MAGIC, FlattenedFile } from "./flattened_file.ts";
import { ImageError } from "./image_error.ts";
import type { ByteSource, ImageFile } from "./image_file.ts";
import { InflatedFile, isZlib } from "./inflated_file.ts";
import { Kdump, KDUMP_MAGIC } from "./kdump.ts";
import { LIME_MAGIC, readLime } from "./lime.ts";
import { largestRanges, type PhysicalMemory, withoutShared } from "./physical_memory.ts";
import { RangeMemory } from "./range_memory.ts";
import { isVmwareState, readVmwareState, type VmwareState } from "./vmware_state.ts";

/** An image's memory, and what its headers say beside it. */
export interface OpenedMemory {
  readonly memory: PhysicalMemory;
  /** The bytes of a raw image; undefined for other formats. */
  readonly raw: ByteSource | undefined;
  readonly cpus: readonly CpuState[];
  readonly vmcoreinfo: string | undefined;
  /** The image leaves out stretches of RAM that are all zeros; see `ElidedMemory`. */
  readonly elided: boolean;
  /** How the image is wrapped, outermost first: `flattened`, `zlib`. */
  readonly wrapping: readonly string[];
  /** Damage of the headers that was worked around, one sentence each. */
  readonly damage: readonly string[];
}

/** Formats that are recognised, so that their names can be said, but not read. */
const UNSUPPORTED: readonly { name: string; magic: readonly number[]; at?: number }[] = [
  { name: "a diskdump", magic: ascii("DISKDUMP") },
  { name: "a QEMU migration stream", magic: ascii("QEVM") },
  { name: "a libvirt save file", magic: ascii("LibvirtQemudSave") },
  { name: "a Windows crash dump", magic: ascii("PAGEDU") },
  { name: "a hibernation image", magic: ascii("S1SUSPEND"), at: 4086 },
  { name: "gzip data", magic: [0x1f, 0x8b, 0x08] },
  { name: "xz data", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { name: "zstd data", magic: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: "lz4 data", magic: [0x04, 0x22, 0x4d, 0x18] },
  { name: "bzip2 data", magic: ascii("BZh") },
  { name: "a zip archive", magic: [0x50, 0x4b, 0x03, 0x04] },
  { name: "a QCOW2 disk image", magic: [0x51, 0x46, 0x49, 0xfb] },
  { name: "an EWF image", magic: ascii("EVF\t\r\n\xff\0") },
];

/** Enough for every magic. */
const HEAD_BYTES = 4096;

/** Smallest file that can hold a kernel; anything below is not a memory image. */
const SMALLEST_IMAGE = 1024 * 1024;

/**
 * Recognises an image by its content. What has no known magic is raw memory, where a physical
 * address is an offset in the file; whether it is an image at all shows when a kernel is found.
 *
 * @throws {ImageError} when it cannot be an image of a supported format.
 */
export function openMemory(image: ImageFile): OpenedMemory {
  return openFormat(image, image) ?? openVmware(image) ?? openRaw(image, image.name);
}

/** The `.vmem` of a VMware machine whose state lies beside it; undefined where there is none. */
function openVmware(image: ImageFile): OpenedMemory | undefined {
  if (!/\.vmem$/i.test(image.name)) return undefined;
  for (const extension of ["vmss", "vmsn"]) {
    const file = image.beside(extension);
    if (file === undefined) continue;
    const state = readVmwareState(file);
    if (state === undefined) {
      const damage = [`the .${extension} beside it cannot be read, so it was taken for raw memory`];
      return { ...openRaw(image, image.name), damage };
    }
    return vmwareMemory(image, state, { offset: 0, size: image.size });
  }
  return undefined;
}

/** Memory that lies in one piece at `offset` of a file, laid out as the state of its machine says. */
function vmwareMemory(
  source: ByteSource,
  { ranges: regions, cpus }: VmwareState,
  { offset, size }: { offset: number; size: number },
): OpenedMemory {
  const damage: string[] = [];
  const whole = { start: 0, end: size, offset: 0 };
  const held = Math.min(size, source.size - offset);
  const ranges = (regions.length === 0 ? [whole] : regions).flatMap((region) => {
    const end = Math.min(region.end, region.start + held - region.offset);
    if (end < region.end) {
      damage.push(`the region at ${region.start} is cut short by the end of the file`);
    }
    return end > region.start ? [{ ...region, end, offset: offset + region.offset }] : [];
  });
  const own = withoutShared(ranges);
  if (own.length < ranges.length) {
    damage.push(`${ranges.length - own.length} regions hold the same bytes as another`);
  }
  return { ...NOTHING_MORE, memory: new RangeMemory(source, "vmware", own), cpus, damage };
}

/** Memory where a physical address is an offset. */
function openRaw(source: ByteSource, name: string): OpenedMemory {
  const { size } = source;
  if (size < SMALLEST_IMAGE) {
    throw new ImageError(
      `Cannot read ${JSON.stringify(name)}: ` +
        `${size} bytes are too few for a memory image, which has at least ${SMALLEST_IMAGE}`,
    );
  }
  const memory = new RangeMemory(source, "raw", [{ start: 0, end: size, offset: 0 }]);
  return { ...NOTHING_MORE, memory, raw: source };
}

/** What an image says that says nothing. */
const NOTHING_MORE = {
  raw: undefined,
  cpus: [],
  vmcoreinfo: undefined,
  elided: false,
  wrapping: [],
  damage: [],
} as const;

/** Memory in a format that has a magic; undefined where `source` begins with none. */
function openFormat(source: ByteSource, image: ImageFile): OpenedMemory | undefined {
  const { name } = image;
  const head = source.read(0, Math.min(source.size, HEAD_BYTES)) ?? new Uint8Array();
  const has = (magic: readonly number[], at = 0) => magic.every((byte, i) => head[at + i] === byte);
  const fail = (why: string) => new ImageError(`Cannot read ${JSON.stringify(name)}: ${why}`);
  if (isElf(head)) {
    const { ranges: all, cpus, vmcoreinfo, damage } = readElfCore(source);
    const ranges = largestRanges(all);
    const more = sayLeftOut(all.length - ranges.length);
    const memory = image.isMapped
      ? new RangeMemory(source, "elf", ranges)
      : new BlockMemory(new CoreBlocks(source, ranges));
    return { ...NOTHING_MORE, memory, cpus, vmcoreinfo, damage: [...damage, ...more] };
  }
  if (has(LIME_MAGIC)) {
    const { ranges: all, elided, damage } = readLime(source);
    if (all.length === 0) throw fail("LiME image holds no memory");
    const ranges = largestRanges(all);
    return {
      ...NOTHING_MORE,
      memory: new RangeMemory(source, "lime", ranges),
      elided,
      damage: [...damage, ...sayLeftOut(all.length - ranges.length)],
    };
  }
  if (has(AVML_MAGIC)) {
    const avml = new Avml(source);
    if (avml.ranges.length === 0) throw fail("AVML image holds no memory");
    const { elided, damage } = avml;
    return { ...NOTHING_MORE, memory: new BlockMemory(avml), elided, damage };
  }
  if (has(KDUMP_MAGIC)) {
    const kdump = new Kdump(source);
    const { cpus, vmcoreinfo, damage } = kdump;
    return { ...NOTHING_MORE, memory: new BlockMemory(kdump), cpus, vmcoreinfo, damage };
  }
  if (source === image && has(FLATTENED_MAGIC)) {
    const inner = new FlattenedFile(source);
    const opened = openFormat(inner, image);
    if (opened === undefined) throw fail("a flattened file of a dump, but there is none in it");
    return {
      ...opened,
      wrapping: ["flattened", ...opened.wrapping],
      damage: [...inner.damage, ...opened.damage],
    };
  }
  if (source === image && isZlib(head)) {
    const inner = new InflatedFile(source);
    // Raw memory may begin with bytes that look like zlib's; then there is next to nothing in it.
    if (inner.size >= SMALLEST_IMAGE || inner.damage.length === 0) {
      const opened = openFormat(inner, image) ?? openRaw(inner, name);
      return {
        ...opened,
        wrapping: ["zlib", ...opened.wrapping],
        damage: [...inner.damage, ...opened.damage],
      };
    }
  }
  if (isVmwareState(head)) {
    const state = readVmwareState(source);
    if (state === undefined) throw fail("it is the state of a VMware machine, and damaged");
    const { memory } = state;
    if (memory?.isCompressed === false) return vmwareMemory(source, state, memory);
    throw fail(
      memory === undefined
        ? "it is the state of a VMware machine; its memory is in the .vmem file beside it"
        : "it is the state of a VMware machine with compressed memory, which is not supported",
    );
  }
  const unsupported = UNSUPPORTED.find(({ magic, at }) => has(magic, at));
  if (unsupported !== undefined) throw fail(`it is ${unsupported.name}, which is not supported`);
  return undefined;
}

function sayLeftOut(count: number): string[] {
  return count === 0 ? [] : [`${count} of its ranges were left out: there are too many`];
}

/** First address above the hole that PCs leave for devices below 4 GiB. */
const FOUR_GIB = 2 ** 32;

/**
 * The same raw image read with the PCI hole squeezed out: memory from 4 GiB on follows directly
 * after `lowEnd` bytes.
 */
export function squeezedMemory(raw: ByteSource, lowEnd: number): PhysicalMemory {
  return new RangeMemory(raw, "raw", [
    { start: 0, end: lowEnd, offset: 0 },
    { start: FOUR_GIB, end: FOUR_GIB + (raw.size - lowEnd), offset: lowEnd },
  ]);
}

function ascii(text: string): number[] {
  return [...text].map((c) => c.charCodeAt(0));
}
