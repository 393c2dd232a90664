import { viewOf } from "../uapi/bytes.ts";
import type { CpuState } from "./elf_core.ts";
import type { ByteReader } from "./image_file.ts";
import type { MemoryRange } from "./physical_memory.ts";

/** What the state of a VMware machine says about its `.vmem`. */
export interface VmwareState {
  /** Where the regions of the `.vmem` belong; empty where an offset is a physical address. */
  readonly ranges: readonly MemoryRange[];
  readonly cpus: readonly CpuState[];
  /** Where the state itself holds the memory; undefined where that is in a `.vmem`. */
  readonly memory: StoredBlock | undefined;
}

/** A value of any length. */
export interface StoredBlock {
  /** In the file, which may end before the block does. */
  readonly offset: number;
  /** In bytes. */
  readonly size: number;
  readonly isCompressed: boolean;
}

/** What the tags that are read say, by `group.name[index]…`. */
interface Tags {
  readonly values: Map<string, bigint>;
  memory: StoredBlock | undefined;
}

/** Magics of `.vmss` and `.vmsn`; the low 4 bits are the version. */
const MAGICS = new Set([
  ...[0xbed0bed0, 0xbed2bed0, 0xbad1bad1, 0xbad2bad2, 0xbed2bed2, 0xbed3bed3],
]);
const HEADER_SIZE = 12;
const GROUP_SIZE = 80;
const GROUP_NAME_SIZE = 64;
/** Real files have some 80 groups, and some thousand tags in those that are read. */
const MAX_GROUPS = 4096;
const MAX_TAGS = 1_000_000;
/** Data lengths that say that the length follows. */
const COMPRESSED_BLOCK = 62;
const BLOCK = 63;
/** CR0 to CR8 in one block, as later versions have them. */
const CR64_SIZE = 72;
const PAGE = 4096;
/** Physical addresses have at most 52 bits. */
const MAX_PAGE = 2 ** 40;

/** Whether a file begins like a `.vmss` or `.vmsn`. */
export function isVmwareState(head: Uint8Array): boolean {
  return head.length >= HEADER_SIZE && MAGICS.has(viewOf(head).getUint32(0, true));
}

/**
 * Reads a `.vmss` (suspended) or `.vmsn` (snapshot): groups of named tags, each with up to three
 * indices. VMware publishes no description; this follows what the Volatility Foundation found out
 * (volatility3, framework/layers/vmware.py and vmsn.py) and what VMware gave to crash
 * (vmware_vmss.c). Of the group `memory` it takes the regions (`regionPageNum` pages into memory as it
 * is stored, `regionSize` pages belong at page `regionPPN`), which leave out the PCI hole, and where
 * `Memory` is, if it is not in a `.vmem`; of the group `cpu`, `CR64`, the control registers.
 *
 * Undefined where it is no such file, or is damaged.
 */
export function readVmwareState(source: ByteReader): VmwareState | undefined {
  const head = source.read(0, HEADER_SIZE);
  if (head === undefined || !isVmwareState(head)) return undefined;
  const view = viewOf(head);
  const sizeLength = (view.getUint32(0, true) & 0xf) === 0 ? 4 : 8;
  const count = view.getUint32(8, true);
  if (count > MAX_GROUPS) return undefined;
  const groups = source.read(HEADER_SIZE, count * GROUP_SIZE);
  if (groups === undefined) return undefined;
  const tags: Tags = { values: new Map(), memory: undefined };
  for (let at = 0; at < groups.length; at += GROUP_SIZE) {
    const name = LATIN1.decode(groups.subarray(at, at + GROUP_NAME_SIZE)).replace(/\0.*/s, "");
    if (name !== "memory" && name !== "cpu") continue;
    const first = Number(viewOf(groups).getBigUint64(at + GROUP_NAME_SIZE, true));
    if (!readTags(source, { at: first, sizeLength, group: name }, tags)) return undefined;
  }
  const ranges = regionsOf(tags.values);
  return ranges && { ranges, cpus: cpusOf(tags.values), memory: tags.memory };
}

/** Notes the tags of a group; false where they are damaged. */
function readTags(
  source: ByteReader,
  { at, sizeLength, group }: { at: number; sizeLength: number; group: string },
  tags: Tags,
): boolean {
  for (let i = 0; i < MAX_TAGS; i++) {
    const head = source.read(at, 2);
    if (head === undefined) return false;
    const flags = head[0]!;
    const nameLength = head[1]!;
    if (flags === 0 && nameLength === 0) return true;
    const indexCount = flags >> 6;
    const rest = source.read(at + 2, nameLength + 4 * indexCount);
    if (rest === undefined) return false;
    at += 2 + rest.length;
    let length = flags & 0x3f;
    let name = LATIN1.decode(rest.subarray(0, nameLength));
    for (let n = 0; n < indexCount; n++) {
      name += `[${viewOf(rest).getUint32(nameLength + 4 * n, true)}]`;
    }
    if (length === BLOCK || length === COMPRESSED_BLOCK) {
      const isCompressed = length === COMPRESSED_BLOCK;
      const sizes = source.read(at, 2 * sizeLength + 2);
      if (sizes === undefined) return false;
      length = Number(numberOf(sizes.subarray(0, sizeLength)));
      at += sizes.length + viewOf(sizes).getUint16(2 * sizeLength, true);
      if (group === "memory" && /^Memory(\[|$)/.test(name) && length > 0) {
        tags.memory ??= { offset: at, size: length, isCompressed };
        // It comes last, and what is cut off takes no more than the end of memory.
        if (at + length > source.size) return true;
      }
      if (group === "cpu" && name.startsWith("CR64[") && !isCompressed && length === CR64_SIZE) {
        const registers = source.read(at, CR64_SIZE);
        for (let n = 0; registers !== undefined && n < CR64_SIZE / 8; n++) {
          tags.values.set(`cpu.${name}[${n}]`, numberOf(registers.subarray(8 * n, 8 * n + 8)));
        }
      }
    } else if (length <= 8) {
      const data = source.read(at, length);
      if (data === undefined) return false;
      tags.values.set(`${group}.${name}`, numberOf(data));
    }
    at += length;
  }
  return false;
}

/** The regions, ascending and without overlap; undefined where they are damaged. */
function regionsOf(values: ReadonlyMap<string, bigint>): MemoryRange[] | undefined {
  const count = Number(values.get("memory.regionsCount") ?? 0n);
  if (count > values.size) return undefined;
  const ranges: MemoryRange[] = [];
  for (let i = 0; i < count; i++) {
    const number = (name: string) => Number(values.get(`memory.${name}[${i}]`) ?? NaN);
    const page = number("regionPPN");
    const size = number("regionSize");
    const inFile = number("regionPageNum");
    if (!(page + size <= MAX_PAGE && inFile <= MAX_PAGE)) return undefined;
    ranges.push({ start: page * PAGE, end: (page + size) * PAGE, offset: inFile * PAGE });
  }
  ranges.sort((a, b) => a.start - b.start);
  const isApart = ranges.every(({ start }, i) => i === 0 || start >= ranges[i - 1]!.end);
  return isApart ? ranges : undefined;
}

/** CR3 and CR4 of each CPU. */
function cpusOf(values: ReadonlyMap<string, bigint>): CpuState[] {
  const cpus: CpuState[] = [];
  for (let i = 0;; i++) {
    const cr3 = values.get(`cpu.CR64[${i}][3]`);
    if (cr3 === undefined) return cpus;
    cpus.push({ cr3, cr4: values.get(`cpu.CR64[${i}][4]`) ?? 0n });
  }
}

const LATIN1 = new TextDecoder("latin1");

/** A little-endian number of at most 8 bytes. */
function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => value << 8n | BigInt(byte), 0n);
}
