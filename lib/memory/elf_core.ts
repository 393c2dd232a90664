import { viewOf } from "../uapi/bytes.ts";
import type { ByteReader } from "./image_file.ts";
import { ImageError } from "./image_error.ts";
import { type MemoryRange, withoutShared } from "./physical_memory.ts";

/** Paging registers of one vCPU, from a `QEMU` note. */
export interface CpuState {
  /** CR3: physical address of the page table root, with flags in the low 12 bits. */
  readonly cr3: bigint;
  /** CR4; bit 12 is LA57. */
  readonly cr4: bigint;
}

/** What an ELF core says about a machine's memory. */
export interface ElfCore {
  /** Ascending, not overlapping, all inside the file. */
  readonly ranges: readonly MemoryRange[];
  readonly cpus: readonly CpuState[];
  /** Text of the `VMCOREINFO` note, where there is one. */
  readonly vmcoreinfo: string | undefined;
  /** Damage that was worked around, one sentence each. */
  readonly damage: readonly string[];
}

const ELF_HEADER_SIZE = 64;
const ET_CORE = 4;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const PN_XNUM = 0xffff;
const PHDR_SIZE = 56;
/** `p_paddr` of what has no physical address. */
const NO_ADDRESS = 2n ** 64n - 1n;
/** The notes of a real core take less than a KiB a vCPU; more is damage. */
const MAX_NOTE_BYTES = 16 * 1024 * 1024;
/** A core of a machine's page tables may have some hundred thousand; more is damage. */
const MAX_HEADERS = 1024 * 1024;
/** Bytes compared where segments overlap. */
const MAX_COMPARED = 64 * 1024 * 1024;
const PAGE_SIZE = 4096;

const MACHINES: Readonly<Record<number, string>> = {
  2: "SPARC",
  3: "x86 (32-bit)",
  20: "PowerPC",
  21: "PowerPC64",
  22: "s390",
  40: "ARM",
  183: "AArch64",
  243: "RISC-V",
  258: "LoongArch",
};

/** Whether the file begins with the ELF magic. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

/**
 * Reads the headers of an ELF64 x86-64 core (System V ABI; `include/uapi/linux/elf.h`).
 *
 * Segments count by physical address. Bytes past `p_filesz` are not in the image. A segment that
 * points outside the file is cut to what is there, and the damage is reported.
 *
 * @throws {ImageError} when the headers are not those of such a core, or hold no memory.
 */
export function readElfCore(source: ByteReader): ElfCore {
  const { size, name } = source;
  const fail = (why: string): never => {
    throw new ImageError(`Cannot read ${JSON.stringify(name)}: ${why}`);
  };
  const bytes = source.read(0, ELF_HEADER_SIZE);
  if (bytes === undefined) {
    throw fail(`ELF header needs ${ELF_HEADER_SIZE} bytes, file has ${size}`);
  }
  if (bytes[4] !== 2) {
    fail(bytes[4] === 1 ? "ELF file is 32-bit, expected 64-bit" : "ELF class is not valid");
  }
  if (bytes[5] !== 1) fail("ELF file is big-endian, expected little-endian x86-64");
  const view = viewOf(bytes);
  const machine = view.getUint16(18, true);
  if (machine !== EM_X86_64) {
    fail(`ELF machine is ${MACHINES[machine] ?? `number ${machine}`}, expected x86-64`);
  }
  const type = view.getUint16(16, true);
  if (type !== ET_CORE) {
    fail(
      `ELF file is ${
        ["no file", "an object", "an executable", "a shared object"][type] ?? `of type ${type}`
      }, expected a core dump`,
    );
  }

  const table = Number(view.getBigUint64(32, true));
  const entrySize = view.getUint16(54, true);
  if (entrySize !== PHDR_SIZE) {
    fail(`ELF program headers have ${entrySize} bytes, expected ${PHDR_SIZE}`);
  }
  let count = view.getUint16(56, true);
  if (count === PN_XNUM) {
    // The real count is in sh_info of section header 0.
    const sections = Number(view.getBigUint64(40, true));
    const field = sections > 0 ? source.read(sections + 44, 4) : undefined;
    if (field === undefined) throw fail("ELF section header is outside the file");
    count = viewOf(field).getUint32(0, true);
  }
  if (count === 0) fail("ELF file has no program headers");
  if (count > MAX_HEADERS) fail(`${count} ELF program headers are more than a memory image has`);
  if (table + count * PHDR_SIZE > size) {
    fail(`${count} ELF program headers at ${table} end outside the file of ${size} bytes`);
  }
  const headers = source.read(table, count * PHDR_SIZE);
  if (headers === undefined) throw fail("ELF program headers cannot be read");
  const entries = viewOf(headers);

  const damage: string[] = [];
  const segments: MemoryRange[] = [];
  let outside = 0;
  const cpus: CpuState[] = [];
  let vmcoreinfo: string | undefined;
  let noteBytes = MAX_NOTE_BYTES;
  let notesOutside = 0;
  let skipped = 0;
  let cut = 0;
  for (let at = 0; at < headers.length; at += PHDR_SIZE) {
    const kind = entries.getUint32(at, true);
    if (kind !== PT_LOAD && kind !== PT_NOTE) continue;
    const offset = Number(entries.getBigUint64(at + 8, true));
    const start = entries.getBigUint64(at + 24, true);
    const fileSize = Number(entries.getBigUint64(at + 32, true));
    const memorySize = Number(entries.getBigUint64(at + 40, true));
    if (kind === PT_NOTE) {
      if (fileSize > noteBytes) {
        skipped++;
        continue;
      }
      const bytes = source.read(offset, fileSize);
      if (bytes === undefined) {
        notesOutside++;
        continue;
      }
      noteBytes -= fileSize;
      const state = readMachineNotes(bytes);
      for (const cpu of state.cpus) cpus.push(cpu);
      vmcoreinfo ??= state.vmcoreinfo;
      continue;
    }
    let length = Math.min(fileSize, memorySize);
    // /proc/kcore has -1 for what is mapped, but not memory of its own (fs/proc/kcore.c).
    if (length === 0 || start === NO_ADDRESS) continue;
    const address = Number(start);
    // Physical addresses have at most 52 bits; more cannot be memory.
    // Past 2^53, where /proc/kcore has memory on machines with 5-level paging, a number holds an
    // offset exactly at pages only.
    const isExact = Number.isSafeInteger(Math.min(offset + length, size)) ||
      ((entries.getBigUint64(at + 8, true) & 0xfffn) === 0n && address % PAGE_SIZE === 0 &&
        length % PAGE_SIZE === 0);
    if (offset >= size || address >= 2 ** 52 || !isExact) {
      outside++;
      continue;
    }
    if (offset + length > size) {
      length = size - offset;
      cut++;
    }
    segments.push({ start: address, end: address + length, offset });
  }
  if (outside > 0) damage.push(`${outside} of ${count} segments point outside the file`);
  if (cut > 0) damage.push(`${cut} of ${count} segments are cut short by the end of the file`);
  if (notesOutside > 0) damage.push(`${notesOutside} note segments point outside the file`);
  if (skipped > 0) damage.push(`${skipped} note segments were skipped: they are too large`);
  // With paging, a core has a segment for each mapping of the same memory: that comes first.
  const apart = withoutOverlap(segments, source, damage);
  const ranges = withoutShared(apart);
  const shared = apart.length - ranges.length;
  if (shared > 0) {
    damage.push(`${shared} of ${apart.length} ranges of memory hold the same bytes as another`);
  }
  if (ranges.length === 0) {
    fail(`none of its ${count} program headers holds memory inside the file`);
  }
  return { ranges, cpus, vmcoreinfo, damage };
}

/** What the notes of a core say of the machine. */
export interface MachineNotes {
  readonly cpus: readonly CpuState[];
  readonly vmcoreinfo: string | undefined;
}

/** CPU states (`QEMU`) and VMCOREINFO of a stretch of ELF notes. */
export function readMachineNotes(bytes: Uint8Array): MachineNotes {
  const cpus: CpuState[] = [];
  let vmcoreinfo: string | undefined;
  for (const { owner, data } of elfNotes(bytes)) {
    if (owner === "QEMU") {
      const cpu = qemuCpuState(data);
      if (cpu !== undefined) cpus.push(cpu);
    } else if (owner === "VMCOREINFO") {
      vmcoreinfo ??= LATIN1.decode(data);
    }
  }
  return { cpus, vmcoreinfo };
}

const LATIN1 = new TextDecoder("latin1");

/** One ELF note. */
export interface ElfNote {
  readonly owner: string;
  readonly type: number;
  readonly data: Uint8Array;
}

/** The notes of one PT_NOTE segment: name and descriptor, each padded to 4 bytes. */
export function* elfNotes(bytes: Uint8Array): Generator<ElfNote> {
  const view = viewOf(bytes);
  let at = 0;
  while (at + 12 <= bytes.length) {
    const nameSize = view.getUint32(at, true);
    const dataSize = view.getUint32(at + 4, true);
    const nameAt = at + 12;
    const dataAt = nameAt + Math.ceil(nameSize / 4) * 4;
    if (nameSize > 256 || dataAt + dataSize > bytes.length) return;
    const owner = LATIN1.decode(bytes.subarray(nameAt, nameAt + nameSize)).replace(/\0[^]*$/, "");
    const type = view.getUint32(at + 8, true);
    yield { owner, type, data: bytes.subarray(dataAt, dataAt + dataSize) };
    at = dataAt + Math.ceil(dataSize / 4) * 4;
  }
}

/** CR3 and CR4 of `QEMUCPUState` (QEMU, target/i386/arch_dump.c), version 1. */
function qemuCpuState(data: Uint8Array): CpuState | undefined {
  if (data.length < 432) return undefined;
  const view = viewOf(data);
  if (view.getUint32(0, true) !== 1) return undefined;
  // cr[5] follows 8 bytes of header, 18 registers and 10 segments of 24 bytes.
  return { cr3: view.getBigUint64(416, true), cr4: view.getBigUint64(424, true) };
}

/**
 * Sorts segments and drops what an earlier one already holds. Cores of a crash kernel list the
 * kernel's text twice, so an overlap is damage only where the bytes differ.
 */
function withoutOverlap(
  segments: readonly MemoryRange[],
  source: ByteReader,
  damage: string[],
): MemoryRange[] {
  const sorted = [...segments].sort((a, b) => a.start - b.start || b.end - a.end);
  const ranges: MemoryRange[] = [];
  let differing = 0;
  let compared = 0;
  for (const segment of sorted) {
    const previous = ranges.at(-1);
    const end = previous?.end ?? 0;
    // Where the file has `segment`, if it goes on as `previous` does.
    const there = previous && previous.offset + (segment.start - previous.start);
    const isSame = segment.offset === there;
    if (previous !== undefined && segment.start < end && !isSame && compared < MAX_COMPARED) {
      const length = Math.min(PAGE_SIZE, end - segment.start, segment.end - segment.start);
      compared += length;
      const ours = source.read(segment.offset, length);
      const others = source.read(there!, length);
      if (ours?.some((byte, i) => byte !== others?.[i])) differing++;
    }
    if (segment.end <= end) continue;
    if (previous !== undefined && segment.start <= end && isSame) {
      ranges[ranges.length - 1] = { ...previous, end: segment.end };
    } else {
      const start = Math.max(segment.start, end);
      ranges.push({ ...segment, start, offset: segment.offset + (start - segment.start) });
    }
  }
  if (differing > 0) damage.push(`${differing} segments overlap another with different bytes`);
  return ranges;
}
