import type { PhysicalMemory } from "./physical_memory.ts";
import type { CpuState } from "./elf_core.ts";

/** What goes into a core beside memory. */
export interface ElfCoreNotes {
  /** Text of a `VMCOREINFO` note. */
  readonly vmcoreinfo?: string;
  /** CPU states, as `QEMU` notes. */
  readonly cpus?: readonly CpuState[];
}

const HEADER_SIZE = 64;
const PHDR_SIZE = 56;
const SHDR_SIZE = 64;
const PAGE_SIZE = 4096;
/** The header's count of program headers has 16 bits; this one says that it is elsewhere. */
const PN_XNUM = 0xffff;
/** Bytes handed on at once. */
const PIECE = 1024 * 1024;

/**
 * An ELF64 x86-64 core of some stretches of physical memory, in pieces to be written in order.
 * Stretches are ascending; parts that memory does not hold are left out.
 */
export function* writeElfCore(
  memory: PhysicalMemory,
  runs: readonly { start: number; length: number }[],
  { vmcoreinfo, cpus = [] }: ElfCoreNotes = {},
): Generator<Uint8Array> {
  const segments = [...held(memory, runs)];
  const notes = concat([
    ...(vmcoreinfo === undefined ? [] : [note("VMCOREINFO", new TextEncoder().encode(vmcoreinfo))]),
    ...cpus.map((cpu) => note("QEMU", qemuCpuState(cpu))),
  ]);
  const count = segments.length + 1;
  const sectionsAt = HEADER_SIZE + count * PHDR_SIZE;
  const notesAt = sectionsAt + (count >= PN_XNUM ? SHDR_SIZE : 0);
  let offset = Math.ceil((notesAt + notes.length) / PAGE_SIZE) * PAGE_SIZE;
  const head = new Uint8Array(offset);
  const view = new DataView(head.buffer);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 4, true); // ET_CORE
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  view.setBigUint64(32, BigInt(HEADER_SIZE), true);
  view.setUint16(52, HEADER_SIZE, true);
  view.setUint16(54, PHDR_SIZE, true);
  view.setUint16(56, Math.min(count, PN_XNUM), true);
  if (count >= PN_XNUM) {
    // The count is in sh_info of section header 0 (elf(5)).
    view.setBigUint64(40, BigInt(sectionsAt), true);
    view.setUint16(58, SHDR_SIZE, true);
    view.setUint16(60, 1, true);
    view.setUint32(sectionsAt + 44, count, true);
  }
  putHeader(view, HEADER_SIZE, { type: 4, offset: notesAt, address: 0, length: notes.length });
  segments.forEach(({ start, length }, i) => {
    const at = HEADER_SIZE + (i + 1) * PHDR_SIZE;
    putHeader(view, at, { type: 1, offset, address: start, length });
    offset += length;
  });
  head.set(notes, notesAt);
  yield head;
  for (const { start, length } of segments) {
    for (let done = 0; done < length; done += PIECE) {
      const take = Math.min(PIECE, length - done);
      yield memory.read(start + done, take) ?? new Uint8Array(take);
    }
  }
}

/** The parts of the runs that memory holds, in order. */
function* held(
  { ranges }: PhysicalMemory,
  runs: readonly { start: number; length: number }[],
): Generator<{ start: number; length: number }> {
  let next = 0;
  for (const run of runs) {
    const runEnd = run.start + run.length;
    while (next < ranges.length && ranges[next]!.end <= run.start) next++;
    let open: { start: number; length: number } | undefined;
    for (let i = next; i < ranges.length && ranges[i]!.start < runEnd; i++) {
      const start = Math.max(run.start, ranges[i]!.start);
      const length = Math.min(runEnd, ranges[i]!.end) - start;
      if (open !== undefined && open.start + open.length === start) {
        open.length += length;
      } else {
        if (open !== undefined) yield open;
        open = { start, length };
      }
    }
    if (open !== undefined) yield open;
  }
}

function putHeader(
  view: DataView,
  at: number,
  { type, offset, address, length }: {
    type: number;
    offset: number;
    address: number;
    length: number;
  },
): void {
  view.setUint32(at, type, true);
  view.setUint32(at + 4, 4, true); // PF_R
  view.setBigUint64(at + 8, BigInt(offset), true);
  view.setBigUint64(at + 24, BigInt(address), true);
  view.setBigUint64(at + 32, BigInt(length), true);
  view.setBigUint64(at + 40, BigInt(length), true);
}

/** One ELF note: sizes, name and data, each padded to 4 bytes. */
function note(owner: string, data: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(`${owner}\0`);
  const dataAt = 12 + Math.ceil(name.length / 4) * 4;
  const bytes = new Uint8Array(dataAt + Math.ceil(data.length / 4) * 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, name.length, true);
  view.setUint32(4, data.length, true);
  bytes.set(name, 12);
  bytes.set(data, dataAt);
  return bytes;
}

/** `QEMUCPUState` with nothing but CR3 and CR4 in it (QEMU, target/i386/arch_dump.c). */
function qemuCpuState({ cr3, cr4 }: CpuState): Uint8Array {
  const bytes = new Uint8Array(440);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, 440, true);
  view.setBigUint64(416, cr3, true);
  view.setBigUint64(424, cr4, true);
  return bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
