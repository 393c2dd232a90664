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
const PAGE_SIZE = 4096;
/** The program header count has 16 bits, and its last value says that it is elsewhere. */
const MAX_SEGMENTS = 0xfffe;

/**
 * An ELF64 x86-64 core of some stretches of physical memory, in pieces to be written in order.
 * Stretches are ascending and whole pages; parts that memory does not hold are left out. Where
 * there are more than an ELF header can count, neighbours are joined with what lies between them.
 */
export function* writeElfCore(
  memory: PhysicalMemory,
  runs: readonly { start: number; length: number }[],
  { vmcoreinfo, cpus = [] }: ElfCoreNotes = {},
): Generator<Uint8Array> {
  const segments = joinNeighbours(runs, MAX_SEGMENTS - 1);
  const notes = concat([
    ...(vmcoreinfo === undefined ? [] : [note("VMCOREINFO", new TextEncoder().encode(vmcoreinfo))]),
    ...cpus.map((cpu) => note("QEMU", qemuCpuState(cpu))),
  ]);
  const count = segments.length + 1;
  const notesAt = HEADER_SIZE + count * PHDR_SIZE;
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
  view.setUint16(56, count, true);
  putHeader(view, HEADER_SIZE, { type: 4, offset: notesAt, address: 0, length: notes.length });
  segments.forEach(({ start, length }, i) => {
    const at = HEADER_SIZE + (i + 1) * PHDR_SIZE;
    putHeader(view, at, { type: 1, offset, address: start, length });
    offset += length;
  });
  head.set(notes, notesAt);
  yield head;
  for (const { start, length } of segments) {
    for (let at = start; at < start + length; at += PAGE_SIZE) {
      yield memory.read(at, PAGE_SIZE) ?? new Uint8Array(PAGE_SIZE);
    }
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

function joinNeighbours(
  runs: readonly { start: number; length: number }[],
  most: number,
): { start: number; length: number }[] {
  let joined = runs.map((run) => ({ ...run }));
  for (let gap = PAGE_SIZE; joined.length > most; gap *= 2) {
    const next: { start: number; length: number }[] = [];
    for (const run of joined) {
      const last = next.at(-1);
      if (last !== undefined && run.start - (last.start + last.length) <= gap) {
        last.length = run.start + run.length - last.start;
      } else {
        next.push(run);
      }
    }
    joined = next;
  }
  return joined;
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
