import { ndjsonLine } from "../record/ndjson.ts";
import { type ProcessBlock, UNKNOWN_ID } from "../record/records.ts";
import { piece } from "./line_writer.ts";

/** A process as its record described it. */
export interface ProcessDescription {
  /** Names the description: halves of 64 bits. */
  readonly low: number;
  readonly high: number;
  /** Names what the process runs: another one after an execve(2). */
  readonly image: bigint;
  /** `tid` is that of the leader. */
  readonly block: ProcessBlock;
  /** Paths of the block's keys that could not be read. */
  readonly missing: readonly string[];
  /** Paths of the block's keys that are the process's own word. */
  readonly unverified: readonly string[];
}

/** A process block with a thread of its own, and its text as UTF-8. */
export interface ThreadBlock {
  readonly process: ProcessBlock;
  /** The block as JSON. */
  readonly json: Uint8Array;
  /** Undefined where nothing is, and shared by all records of the thread that add nothing. */
  readonly missing: string[] | undefined;
  /** The same. */
  readonly unverified: string[] | undefined;
  /** Both as the last keys of a record. */
  readonly notes: Uint8Array;
}

/** Descriptions that are kept; the kernel keeps half as many, so it describes again what is gone. */
const MAX_PROCESSES = 32_768;
const MAX_THREADS = 1024;

interface Entry {
  readonly description: ProcessDescription;
  readonly threads: Map<number, ThreadBlock>;
  used: number;
}

/** The processes that the kernel has described. */
export class ProcessTable {
  /** By the lower half; two with the same one replace each other, and lose only the older's name. */
  #entries = new Map<number, Entry>();
  #clock = 0;
  /** Most requests come from the process and thread of the request before. */
  #lastLow = -1;
  #lastHigh = -1;
  #lastTid = -1;
  #last: ThreadBlock | undefined;

  add(description: ProcessDescription): void {
    if (this.#entries.size >= MAX_PROCESSES) this.#makeRoom();
    this.#entries.set(description.low, {
      description,
      threads: new Map(),
      used: ++this.#clock,
    });
    this.#last = undefined;
  }

  /** The block of a thread; one that says what is not known where its description was lost. */
  block(low: number, high: number, tid: number, pid: number): ThreadBlock {
    if (
      low === this.#lastLow && high === this.#lastHigh && tid === this.#lastTid &&
      this.#last !== undefined
    ) return this.#last;
    const block = this.#find(low, high, tid) ?? partialBlock(tid, pid);
    this.#lastLow = low;
    this.#lastHigh = high;
    this.#lastTid = tid;
    this.#last = block;
    return block;
  }

  #find(low: number, high: number, tid: number): ThreadBlock | undefined {
    const entry = this.#entries.get(low);
    if (entry === undefined || entry.description.high !== high) return undefined;
    entry.used = ++this.#clock;
    let thread = entry.threads.get(tid);
    if (thread === undefined) {
      const { block, missing, unverified } = entry.description;
      // Assigned anew so that the keys keep their order.
      thread = threadBlock({ ...block, tid }, { missing, unverified });
      if (entry.threads.size >= MAX_THREADS) entry.threads.clear();
      entry.threads.set(tid, thread);
    }
    return thread;
  }

  #makeRoom(): void {
    const byUse = [...this.#entries].sort(([, a], [, b]) => b.used - a.used);
    this.#entries = new Map(byUse.slice(0, MAX_PROCESSES / 2));
  }
}

/** Keys of the model, in their order, that a lost description leaves open. */
const UNKNOWN: Omit<ProcessBlock, "pid" | "tid"> = {
  start_time: "",
  ppid: UNKNOWN_ID,
  uid: UNKNOWN_ID,
  euid: UNKNOWN_ID,
  auid: UNKNOWN_ID,
  cap_inheritable: "",
  cap_permitted: "",
  cap_effective: "",
  secureexec: "",
  filename: "",
  binary_path: "",
  args: "",
  container_id: "",
};

function partialBlock(tid: number, pid: number): ThreadBlock {
  const { start_time, ...rest } = UNKNOWN;
  const process: ProcessBlock = { start_time, pid, tid, ...rest, partial: true };
  const missing = Object.keys(UNKNOWN).map((key) => `process.${key}`);
  return threadBlock(process, { missing, unverified: [] });
}

function threadBlock(
  process: ProcessBlock,
  lists: { missing: readonly string[]; unverified: readonly string[] },
): ThreadBlock {
  const missing = lists.missing.length === 0 ? undefined : [...lists.missing];
  const unverified = lists.unverified.length === 0 ? undefined : [...lists.unverified];
  const notes = (missing === undefined ? "" : `,"missing":${JSON.stringify(missing)}`) +
    (unverified === undefined ? "" : `,"unverified":${JSON.stringify(unverified)}`);
  return { process, json: piece(ndjsonLine(process)), missing, unverified, notes: piece(notes) };
}
