import type { IOUringEvent } from "../record/records.ts";
import type { EventParts } from "./event_line.ts";

/** An event that waits for its completion. */
export interface Waiting extends EventParts {
  record: IOUringEvent;
  /** Address of the io_kiocb, halves of 64 bits; 0 where the kernel does not tell. */
  readonly requestLow: number;
  readonly requestHigh: number;
  /** ns since boot. */
  readonly time: number;
}

/** What a completion says of the request it is for. */
export interface CompletionKey {
  readonly ring: string;
  readonly userDataLow: number;
  readonly userDataHigh: number;
  /** Address of the io_kiocb; 0 where the kernel does not tell. */
  readonly requestLow: number;
  readonly requestHigh: number;
  /** It is no request's last one: one of several, or a message of another ring's. */
  readonly posted: boolean;
  /** More completions may follow. */
  readonly more: boolean;
  /** It tells that a zero-copy send no longer needs its buffer, and names a request of the kernel's. */
  readonly notification: boolean;
}

/** How long an event waits, in ns. */
const WAIT_NS = 1e9;
/** Events that wait at most. */
const MAX_WAITING = 65_536;

/**
 * POLL_ADD, RECVMSG, TIMEOUT, ACCEPT, SEND, RECV, URING_CMD, SEND_ZC, SENDMSG_ZC, READ_MULTISHOT,
 * RECV_ZC and URING_CMD128.
 */
const REPEATING: ReadonlySet<number> = new Set([6, 10, 11, 13, 26, 27, 46, 47, 48, 49, 58, 64]);

interface Slot {
  readonly waiting: Waiting;
  /** Its key among all that wait. */
  readonly key: number;
  /** Not written out yet. */
  held: boolean;
  /** Its completion says nothing new. */
  readonly silent: boolean;
  /** Requests with the same ring and user_data, among which a completion without request cannot choose. */
  readonly name: string;
}

/** What a completion belongs to. */
export type Joined =
  | { readonly kind: "first" | "later"; readonly waiting: Waiting }
  | { readonly kind: "swallowed" };

/** Joins completions to their requests. */
export class CompletionJoin {
  readonly #emit: (waiting: Waiting) => void;
  /**
   * By the lower half of the request's address, oldest first: a request is outstanding once. Those
   * without an address count down from -1.
   */
  readonly #byRequest = new Map<number, Slot>();
  #unnamed = 0;
  /** By ring and user_data, for completions that do not name their request. */
  readonly #byName = new Map<string, Set<Slot>>();
  #held = 0;

  constructor(options: { emit: (waiting: Waiting) => void }) {
    this.#emit = options.emit;
  }

  /** Lets an event wait for its completion. */
  wait(waiting: Waiting): void {
    this.#add(waiting, false);
  }

  /** Expects a completion that is to be dropped. */
  swallow(waiting: Waiting): void {
    this.#add(waiting, true);
  }

  #add(waiting: Waiting, silent: boolean): void {
    const { requestLow: low, requestHigh: high } = waiting;
    const key = low === 0 && high === 0 ? --this.#unnamed : low;
    const before = this.#byRequest.get(key);
    // Its memory serves a new request, so its own completion has passed, or will not come.
    if (before !== undefined) this.#remove(before);
    if (this.#byRequest.size >= MAX_WAITING) {
      for (const oldest of this.#byRequest.values()) {
        this.#remove(oldest);
        break;
      }
    }
    const name = nameOf(waiting.record.io_uring?.ctx ?? "", waiting);
    const slot: Slot = { waiting, key, held: !silent, silent, name };
    if (slot.held) this.#held++;
    this.#byRequest.set(key, slot);
    const named = this.#byName.get(name);
    if (named === undefined) this.#byName.set(name, new Set([slot]));
    else named.add(slot);
  }

  /** The request of a completion, undefined where it is not known or not sure. */
  find(key: CompletionKey): Joined | undefined {
    const slot = this.#find(key);
    if (slot === undefined) return undefined;
    const kind = slot.held ? "first" : "later";
    if (slot.held) this.#held--;
    slot.held = false;
    if (!key.more) this.#remove(slot);
    return slot.silent ? { kind: "swallowed" } : { kind, waiting: slot.waiting };
  }

  #find(key: CompletionKey): Slot | undefined {
    if ((key.requestLow !== 0 || key.requestHigh !== 0) && !key.notification) {
      const slot = this.#byRequest.get(key.requestLow);
      if (slot === undefined) return undefined;
      const { waiting } = slot;
      const same = waiting.requestHigh === key.requestHigh &&
        waiting.userDataLow === key.userDataLow && waiting.userDataHigh === key.userDataHigh;
      return same ? slot : undefined;
    }
    const named = this.#byName.get(nameOf(key.ring, key));
    if (named === undefined || named.size !== 1) return undefined;
    const [slot] = named;
    // A message names whatever request its sender likes.
    if (key.posted && !(key.more && mayRepeat(slot!.waiting.record))) return undefined;
    return slot;
  }

  /** Emits the events that have waited long enough, or all. They stay known to later completions. */
  expire(now: number, all: boolean): void {
    if (this.#held === 0) return;
    for (const slot of this.#byRequest.values()) {
      if (!slot.held) continue;
      if (!all && now - slot.waiting.time < WAIT_NS) break;
      slot.held = false;
      this.#held--;
      this.#emit(slot.waiting);
    }
  }

  #remove(slot: Slot): void {
    if (slot.held) {
      slot.held = false;
      this.#held--;
      this.#emit(slot.waiting);
    }
    this.#byRequest.delete(slot.key);
    const named = this.#byName.get(slot.name);
    named?.delete(slot);
    if (named?.size === 0) this.#byName.delete(slot.name);
  }
}

/** Whether a request is of a kind that may complete more than once. */
function mayRepeat({ io_uring }: IOUringEvent): boolean {
  return io_uring !== undefined && REPEATING.has(io_uring.opcode_number);
}

function nameOf(ring: string, key: { userDataLow: number; userDataHigh: number }): string {
  return `${ring}:${key.userDataHigh}:${key.userDataLow}`;
}
