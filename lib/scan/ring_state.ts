import { listForEachEntry } from "../kernel/lists.ts";
import type { KernelObject } from "../kernel/program.ts";
import { MemoryFault } from "../kernel/memory_fault.ts";
import { viewOf } from "../uapi/bytes.ts";
import { opcodeNumber } from "../uapi/opcodes.ts";
import { readSqe, type Sqe } from "../uapi/sqe.ts";
import { isUnreadable, readable } from "./diagnostics.ts";
import type { RingNotes } from "./ring_notes.ts";

/** A completion that is still in the ring. */
export interface Completion {
  /** Position in the completion queue since the ring was made, modulo 2^32. */
  readonly position: number;
  readonly userData: bigint;
  readonly result: number;
  /** `IORING_CQE_F_*` and a buffer id. */
  readonly flags: number;
  /** It has not been taken by the process yet. */
  readonly waiting: boolean;
}

/** An SQE that is still in the ring. */
export interface Slot {
  /** Position in the submission queue since the ring was made, modulo 2^32. */
  readonly position: number;
  readonly sqe: Sqe;
}

/** What follows from slots that the kernel has taken, if the process has left them alone. */
export interface SlotProof {
  /** Each request ever taken is in a slot: there have been fewer than there are slots. */
  readonly complete: boolean;
  /** Slots that hold nothing but zeros, though a request was taken from each. */
  readonly empty: number;
}

/** What lies in the memory that a ring shares with its process. */
export interface RingState {
  readonly sqEntries: number;
  readonly cqEntries: number;
  /** As the shared memory has them; undefined where it cannot be read. */
  readonly sqHead: number | undefined;
  readonly sqTail: number | undefined;
  readonly cqHead: number | undefined;
  readonly cqTail: number | undefined;
  readonly dropped: number | undefined;
  readonly overflow: number | undefined;
  /** SQEs not yet taken by the kernel, in ring order. */
  readonly pending: readonly Slot[];
  /** SQEs that the kernel has taken and nothing has overwritten, oldest first. */
  readonly consumed: readonly Slot[];
  /** What the taken slots prove; undefined where they prove nothing. */
  readonly proof: SlotProof | undefined;
  /** Completions that nothing has overwritten, oldest first, those that overflowed last. */
  readonly completions: readonly Completion[];
  /** Requests taken and completions posted since the ring was made, modulo 2^32: the kernel's own. */
  readonly taken: number;
  readonly posted: number;
}

/** The state of a ring of which nothing could be read. */
export const NO_STATE: RingState = {
  sqEntries: 0,
  cqEntries: 0,
  sqHead: undefined,
  sqTail: undefined,
  cqHead: undefined,
  cqTail: undefined,
  dropped: undefined,
  overflow: undefined,
  pending: [],
  consumed: [],
  proof: undefined,
  completions: [],
  taken: 0,
  posted: 0,
};

/** `IORING_MAX_ENTRIES` and `IORING_MAX_CQ_ENTRIES`. */
export const MAX_SQ_ENTRIES = 32768;
export const MAX_CQ_ENTRIES = 2 * MAX_SQ_ENTRIES;

/** Completions that overflow take kernel memory, and are charged to the process. */
const MAX_OVERFLOW = 262_144;

const SETUP_SQE128 = 1 << 10;
const SETUP_CQE32 = 1 << 11;
const SETUP_SQE_MIXED = 1 << 19;
const SETUP_SQ_REWIND = 1 << 20;
const CQE_F_SKIP = 1 << 5;
const CQE_F_32 = 1 << 15;
/** These take two slots of a mixed ring. */
const WIDE_OPCODES: ReadonlySet<number | undefined> = new Set([
  opcodeNumber("IORING_OP_NOP128"),
  opcodeNumber("IORING_OP_URING_CMD128"),
]);

/** What the queues of a ring are read from. */
export interface RingMemory {
  /** Undefined where nothing is left but the queues themselves. */
  readonly ctx: KernelObject | undefined;
  /** The memory shared with the process; undefined where it cannot be read. */
  readonly rings: KernelObject | undefined;
  /** The ring no longer exists: its context may have been used again in part. */
  readonly freed: boolean;
}

/**
 * Reads the queues of a ring (`io_uring/io_uring.c`, `struct io_rings`). The process can write to
 * all of it but the kernel's own counters, which decide what is pending.
 */
export function readRingState(ctx: KernelObject, notes: RingNotes): RingState {
  const rings = readable(() => ctx.tryDeref("rings"));
  return readQueues({ ctx, rings, freed: false }, notes);
}

/**
 * {@linkcode readRingState} of what is left of a ring. Of one that was freed the shared memory
 * counts.
 */
export function readQueues({ ctx, rings, freed }: RingMemory, notes: RingNotes): RingState {
  const counters = !freed && ctx !== undefined ? ctx : undefined;
  if (counters === undefined && rings === undefined) throw new MemoryFault(0n, "null");
  const sqEntries = counters?.number("sq_entries") ?? rings!.number("sq_ring_entries");
  const cqEntries = counters?.number("cq_entries") ?? rings!.number("cq_ring_entries");
  const taken = counters?.number("cached_sq_head") ?? rings!.number("sq.head");
  const posted = counters?.number("cached_cq_tail") ?? rings!.number("cq.tail");
  const state = { sqEntries, cqEntries, taken, posted };
  if (!isQueueSize(sqEntries, MAX_SQ_ENTRIES) || !isQueueSize(cqEntries, MAX_CQ_ENTRIES)) {
    notes.report(
      "ring_sizes_absurd",
      `the ring claims ${sqEntries} submission and ${cqEntries} completion entries`,
      "its requests",
    );
    return { ...NO_STATE, ...state };
  }
  const heads = readHeads(rings, notes);
  if (heads === undefined) return { ...NO_STATE, ...state };
  const reader = new Queues({ ctx, rings, freed }, notes, state);
  const { pending, consumed, proof } = ctx === undefined
    ? NO_STATE
    : reader.submissions(heads.sqTail);
  return {
    ...state,
    ...heads,
    pending,
    consumed,
    proof,
    completions: reader.completions(heads.cqHead),
  };
}

interface Heads {
  readonly sqHead: number;
  readonly sqTail: number;
  readonly cqHead: number;
  readonly cqTail: number;
  readonly dropped: number;
  readonly overflow: number;
}

function readHeads(rings: KernelObject | undefined, notes: RingNotes): Heads | undefined {
  try {
    if (rings === undefined) throw new MemoryFault(0n, "null");
    return {
      sqHead: rings.number("sq.head"),
      sqTail: rings.number("sq.tail"),
      cqHead: rings.number("cq.head"),
      cqTail: rings.number("cq.tail"),
      dropped: rings.number("sq_dropped"),
      overflow: rings.number("cq_overflow"),
    };
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    notes.report("ring_unreadable", `shared ring memory: ${error.message}`, "its requests");
    return undefined;
  }
}

class Queues {
  #memory: RingMemory;
  #notes: RingNotes;
  #flags: number;
  #sqEntries: number;
  #cqEntries: number;
  #taken: number;
  #posted: number;

  constructor(
    memory: RingMemory,
    notes: RingNotes,
    counters: { sqEntries: number; cqEntries: number; taken: number; posted: number },
  ) {
    this.#memory = memory;
    this.#notes = notes;
    this.#flags = memory.ctx?.number("flags") ?? 0;
    this.#sqEntries = counters.sqEntries;
    this.#cqEntries = counters.cqEntries;
    this.#taken = counters.taken;
    this.#posted = counters.posted;
  }

  /** Both parts of the submission queue: what is still to be taken, and what was. */
  submissions(tail: number): Pick<RingState, "pending" | "consumed" | "proof"> {
    const entries = this.#sqEntries;
    const bytes = this.#read("sq_sqes", entries * this.#sqeSize, "submission queue entries");
    if (bytes === undefined) return { pending: [], consumed: [], proof: undefined };
    if ((this.#flags & SETUP_SQ_REWIND) !== 0) {
      // Each submission starts at slot 0 and the head is not kept (Linux 7.0): all that can be said
      // is what lies in the slots.
      const { slots } = this.#slots(bytes, 0, entries);
      return { pending: [], consumed: slots, proof: undefined };
    }
    let count = (tail - this.#taken) >>> 0;
    if (count > entries) {
      this.#notes.report(
        "sq_tail_absurd",
        `submission queue tail ${tail} is not within ${entries} entries of head ${this.#taken}`,
        "requests that wait for submission",
      );
      count = 0;
    }
    const kept = Math.min(this.#taken, entries - count);
    const first = (this.#taken - kept) >>> 0;
    const { slots, empty, repeated } = this.#slots(bytes, first, kept);
    // The next request is written over the oldest slot before it is announced.
    const complete = this.#taken + count < entries;
    const emptied = empty.filter((position) => complete || position !== first).length;
    return {
      pending: this.#slots(bytes, this.#taken, count).slots,
      consumed: slots,
      proof: repeated || this.#notes.damaged ? undefined : { complete, empty: emptied },
    };
  }

  /** `count` SQEs from a position on, by way of the index array where there is one. */
  #slots(
    bytes: Uint8Array,
    first: number,
    count: number,
  ): { slots: Slot[]; empty: number[]; repeated: boolean } {
    const entries = this.#sqEntries;
    const array = this.#indexArray();
    const wide = this.#sqeSize === 128;
    const slots: Slot[] = [];
    const empty: number[] = [];
    const indexes = new Set<number>();
    let repeated = false;
    let bogus = 0;
    for (let i = 0; i < count; i++) {
      const position = (first + i) >>> 0;
      const place = position & (entries - 1);
      const index = array === undefined ? place : array.getUint32(place * 4, true);
      if (index >= entries) {
        bogus++;
        continue;
      }
      // One slot may serve many requests in turn.
      if (indexes.has(index)) repeated = true;
      indexes.add(index);
      const at = index * this.#sqeSize;
      if (isZero(bytes.subarray(at, at + 64))) {
        empty.push(position);
        continue;
      }
      const mixed = (this.#flags & SETUP_SQE_MIXED) !== 0 && WIDE_OPCODES.has(bytes[at]!) &&
        index + 1 < entries;
      slots.push({ position, sqe: readSqe(bytes, at, { wide: wide || mixed }) });
      if (mixed) i++;
    }
    if (bogus > 0) {
      this.#notes.remark(
        "sq_index_invalid",
        `${bogus} entries of the index array point outside the queue; the kernel drops them`,
      );
    }
    return { slots, empty, repeated };
  }

  /** `ctx->sq_array`; null with `IORING_SETUP_NO_SQARRAY` (Linux 6.6). */
  #indexArray(): DataView | undefined {
    if (this.#ctx.pointer("sq_array") === 0n) return undefined;
    const bytes = this.#read("sq_array", this.#sqEntries * 4, "submission index array");
    return bytes && viewOf(bytes);
  }

  completions(head: number): Completion[] {
    const wide = (this.#flags & SETUP_CQE32) !== 0;
    const size = wide ? 32 : 16;
    const completions: Completion[] = [];
    try {
      const rings = this.#memory.rings!;
      const length = this.#cqEntries * size;
      const { bytes, whole } = this.#readPages(
        rings.addressOf("cqes"),
        length,
        "completion queue",
      );
      const view = viewOf(bytes);
      const count = Math.min(this.#posted, this.#cqEntries);
      const waiting = (this.#posted - head) >>> 0;
      for (let left = count; left > 0; left--) {
        const position = (this.#posted - left) >>> 0;
        const at = (position & (this.#cqEntries - 1)) * size;
        const userData = view.getBigUint64(at, true);
        const result = view.getInt32(at + 8, true);
        const flags = view.getUint32(at + 12, true);
        if ((flags & CQE_F_SKIP) !== 0) continue;
        if (!whole && isZero(bytes.subarray(at, at + 16))) continue;
        completions.push({
          position,
          userData,
          result,
          flags,
          waiting: left <= waiting,
        });
        // In a mixed ring a large completion takes two slots (Linux 6.18).
        if (!wide && (flags & CQE_F_32) !== 0) left--;
      }
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.#notes.report("cq_unreadable", `completion queue: ${error.message}`, "results");
    }
    for (const completion of this.#overflowed()) completions.push(completion);
    return completions;
  }

  /** Completions that found no room (`struct io_overflow_cqe`), oldest first. */
  #overflowed(): Completion[] {
    const { ctx, freed } = this.#memory;
    const completions: Completion[] = [];
    if (ctx === undefined || freed) return completions;
    const { program } = ctx;
    const entry = { type: "io_overflow_cqe", member: "list", limit: MAX_OVERFLOW };
    try {
      const head = ctx.addressOf("cq_overflow_list");
      for (const item of listForEachEntry(program, head, entry)) {
        completions.push({
          position: (this.#posted + completions.length) >>> 0,
          userData: BigInt.asUintN(64, item.bigint("cqe.user_data")),
          result: item.number("cqe.res"),
          flags: item.number("cqe.flags"),
          waiting: true,
        });
      }
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.#notes.report(
        "request_list_broken",
        `cq_overflow_list: ${error.message}`,
        "results that found no room in the completion queue",
      );
    }
    return completions;
  }

  /** Submissions are read only where there is a context. */
  get #ctx(): KernelObject {
    return this.#memory.ctx!;
  }

  get #sqeSize(): number {
    return (this.#flags & SETUP_SQE128) !== 0 ? 128 : 64;
  }

  #read(pointer: string, length: number, what: string): Uint8Array | undefined {
    try {
      return this.#readPages(this.#ctx.pointer(pointer), length, what).bytes;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      // Of a freed ring, that is as it has to be.
      if (!this.#memory.freed) {
        this.#notes.report("ring_unreadable", `${what}: ${error.message}`, "its requests");
      }
      return undefined;
    }
  }

  /** Bytes with zeros, which no queue entry is made of, in place of pages that cannot be read. */
  #readPages(
    address: bigint,
    length: number,
    what: string,
  ): { bytes: Uint8Array; whole: boolean } {
    const { memory } = this.#memory.rings!.program;
    const bytes = new Uint8Array(length);
    let unreadable: MemoryFault | undefined;
    for (let done = 0; done < length;) {
      const at = BigInt.asUintN(64, address + BigInt(done));
      const take = Math.min(length - done, 4096 - Number(at & 0xfffn));
      try {
        bytes.set(memory.read(at, take), done);
      } catch (error) {
        if (!(error instanceof MemoryFault)) throw error;
        unreadable ??= error;
      }
      done += take;
    }
    if (unreadable !== undefined && !this.#memory.freed) {
      this.#notes.report(
        "ring_unreadable",
        `a part of the ${what}: ${unreadable.message}`,
        "requests in this part",
      );
    }
    return { bytes, whole: unreadable === undefined };
  }
}

/** Queue sizes are powers of two with an upper bound. */
export function isQueueSize(entries: number, most: number): boolean {
  return entries > 0 && entries <= most && (entries & (entries - 1)) === 0;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
