import type { KernelObject, Program } from "../kernel/program.ts";
import { isQueueSize, MAX_CQ_ENTRIES, MAX_SQ_ENTRIES } from "./ring_state.ts";

const PAGE_SIZE = 4096;
const WORD = 4;

/**
 * Tells heads of rings (`struct io_rings`) from other memory: sizes and masks agree, no queue is
 * fuller than it can be, and between the members are the zeros that the kernel began with. Tables of
 * small numbers can have all but these.
 */
export class RingHeaders {
  /** Offsets of the words before the completions that belong to no member. */
  readonly #gaps: readonly number[];
  readonly #size: number;

  constructor(program: Program) {
    this.#size = Math.min(program.offsetOf("io_rings", "cqes"), PAGE_SIZE);
    const taken = new Set<number>();
    for (const [name, { bitOffset, typeId }] of program.struct("io_rings").members) {
      if (name === "sq" || name === "cq") {
        // Each in a cache line of its own, until Linux 6.6.
        for (const end of ["head", "tail"]) {
          taken.add(program.offsetOf("io_rings", `${name}.${end}`));
        }
        continue;
      }
      const start = bitOffset >>> 3;
      const end = Math.min(start + program.types.sizeOf(typeId), this.#size);
      for (let at = start - start % WORD; at < end; at += WORD) taken.add(at);
    }
    const words = Array.from({ length: Math.floor(this.#size / WORD) }, (_, i) => i * WORD);
    this.#gaps = words.filter((at) => !taken.has(at));
  }

  /** @throws {MemoryFault} when it cannot be read. */
  isHeader(rings: KernelObject): boolean {
    const sq = rings.number("sq_ring_entries");
    const cq = rings.number("cq_ring_entries");
    if (!isQueueSize(sq, MAX_SQ_ENTRIES) || !isQueueSize(cq, MAX_CQ_ENTRIES) || cq < sq) {
      return false;
    }
    if (rings.number("sq_ring_mask") !== sq - 1) return false;
    if (rings.number("cq_ring_mask") !== cq - 1) return false;
    if ((rings.number("sq.tail") - rings.number("sq.head")) >>> 0 > sq) return false;
    if ((rings.number("cq.tail") - rings.number("cq.head")) >>> 0 > cq) return false;
    const bytes = rings.program.memory.read(rings.address, this.#size);
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return this.#gaps.every((at) => words.getUint32(at, true) === 0);
  }
}

/**
 * Whether anything was submitted or completed. One that was not says nothing, and of a small one there
 * is little more than two ones in a row.
 */
export function isUsed(rings: KernelObject): boolean {
  return ["sq.head", "sq.tail", "cq.tail"].some((path) => rings.number(path) !== 0);
}
