import { opcodeNumber, OPCODES } from "../uapi/opcodes.ts";
import { BoundedMap } from "./bounded_map.ts";
import { fieldsOf } from "./cells.ts";
import type { RequestView } from "./request_view.ts";

/** Descriptors of all rings together, and counts, that are remembered at a time. */
const MAX_DESCRIPTORS = 16_384;
const MAX_COUNTS = 4096;
/** ms within which repeated requests count together. */
const WINDOW_MS = 1000;
const CLOSE = opcodeNumber("IORING_OP_CLOSE");
/** Results of a connection that is still being made. */
const PENDING_ERRORS: ReadonlySet<unknown> = new Set(["EINPROGRESS", "EALREADY", "EISCONN"]);

interface Count {
  /** When the first was seen, ms since 1970; NaN where that is not known. */
  readonly since: number;
  times: number;
  /** The different names, where those are counted. */
  readonly names: Set<string>;
}

/**
 * What rules need to know of earlier requests: which descriptor has been used for what, and how
 * often something was done within a second. It is bounded, and forgets what was used longest ago.
 */
export class RingMemory {
  readonly #remembered: ReadonlySet<number>;
  readonly #done = new BoundedMap<string, Set<number>>(MAX_DESCRIPTORS);
  readonly #counts = new BoundedMap<string, Count>(MAX_COUNTS);

  /** @param remembered The opcodes that {@linkcode hasDone} is asked for. */
  constructor(remembered: ReadonlySet<number>) {
    this.#remembered = remembered;
  }

  /** Takes note of a request that was judged. */
  note(request: RequestView): void {
    const { opcode } = request;
    if (opcode === undefined) return;
    if (opcode === CLOSE) {
      this.#done.delete(placeOf(request));
    } else if (this.#remembered.has(opcode) && !hasFailed(request)) {
      const place = placeOf(request);
      const done = this.#done.get(place) ?? new Set();
      this.#done.set(place, done.add(opcode));
    }
  }

  /** Whether the same ring has done one of `opcodes` with the request's descriptor before. */
  hasDone(request: RequestView, opcodes: ReadonlySet<number>): boolean {
    // Where descriptors are not told, READ and WRITE may be of anything.
    if (request.descriptor === undefined && !isOfSocket(request)) return false;
    const done = this.#done.get(placeOf(request));
    return done !== undefined && !done.isDisjointFrom(opcodes);
  }

  /**
   * Counts a request that fulfils a condition.
   *
   * @param condition Tells the condition from others.
   * @param least The count that is reached or not.
   * @param name What is counted once only, within `group`.
   */
  reaches(
    request: RequestView,
    condition: number,
    { least, group, name }: { least: number; group?: string; name?: string },
  ): boolean {
    const key = `${condition} ${ringOf(request)} ${group ?? ""}`;
    const now = Date.parse(String(request.record.timestamp));
    let count = this.#counts.get(key);
    if (count === undefined || Math.abs(now - count.since) > WINDOW_MS) {
      count = { since: now, times: 0, names: new Set() };
      this.#counts.set(key, count);
    }
    if (name !== undefined && count.names.has(name)) return count.times >= least;
    if (count.times < least) {
      count.times++;
      if (name !== undefined) count.names.add(name);
    }
    return count.times >= least;
  }

  clear(): void {
    this.#done.clear();
    this.#counts.clear();
  }
}

/** The ring that a request is of, or its process where the record does not tell rings apart. */
function ringOf({ record }: RequestView): string {
  const ctx = fieldsOf(record.io_uring).ctx;
  return typeof ctx === "string" ? ctx : `pid ${fieldsOf(record.process).pid}`;
}

function placeOf(request: RequestView): string {
  return `${ringOf(request)} ${request.descriptor ?? ""}`;
}

function isOfSocket({ opcode }: RequestView): boolean {
  return opcode !== undefined && OPCODES[opcode]?.category === "network";
}

function hasFailed({ request }: RequestView): boolean {
  const { res, errno } = fieldsOf(request.result);
  return typeof res === "number" && res < 0 && !PENDING_ERRORS.has(errno);
}
