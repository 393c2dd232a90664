import { BrokenList, type EntryOf, hlistForEachEntry, listForEachEntry } from "../kernel/lists.ts";
import { containerOf, type KernelObject, type Program } from "../kernel/program.ts";
import type { ScanContext } from "./context.ts";
import { isUnreadable, readable } from "./diagnostics.ts";
import { opcodeOf, resultOfCompleted, userDataOf } from "./prepared_request.ts";
import type { RingNotes } from "./ring_notes.ts";
import type { Process } from "./tasks.ts";

/**
 * Where a request stands that has been taken but not completed: armed on a file's wait queue,
 * waiting for a timer, held back by IOSQE_IO_DRAIN, behind the head of its chain, queued to or run
 * by an io-wq worker, waiting for its task to finish it.
 */
export type RequestState =
  | "poll_armed"
  | "timeout"
  | "link_timeout"
  | "deferred"
  | "linked"
  | "io_wq_queued"
  | "io_wq_running"
  | "iopoll"
  | "waitid"
  | "futex"
  | "uring_cmd"
  | "task_work";

/** A request that the kernel holds. */
export interface HeldRequest {
  readonly kiocb: KernelObject;
  readonly state: RequestState;
  /** The worker that runs it. */
  readonly worker?: KernelObject;
}

/** More requests of one ring than this are a damaged list, or too many to tell of. */
const MAX_REQUESTS = 262_144;
/** `hash_bits` follows from the ring's size, which has at most 17 bits. */
const MAX_HASH_BITS = 20;
/** `PF_IO_WORKER` (`include/linux/sched.h`). */
const PF_IO_WORKER = 0x10;

/** Requests that lie with tasks, not rings: by the address of their ring. */
export type TaskRequests = ReadonlyMap<bigint, readonly HeldRequest[]>;

/**
 * Requests that workers run or have queued, and task work that waits, for all rings at once
 * (`io_uring/io-wq.c`). Workers are threads of the process since Linux 5.12 (3bfe6106693b).
 */
export function readTaskRequests(
  context: ScanContext,
  processes: readonly Process[],
): TaskRequests {
  const found = new Map<bigint, HeldRequest[]>();
  const { program, diagnostics } = context;
  const add = (kiocb: KernelObject, state: RequestState, worker?: KernelObject) => {
    const ctx = diagnostics.attempt(
      { code: "request_unreadable", action: "a request that a task holds", hides: "that request" },
      () => kiocb.pointer("ctx"),
    );
    if (ctx === undefined || ctx === 0n) return;
    const held = { kiocb, state, ...(worker === undefined ? {} : { worker }) };
    const list = found.get(ctx);
    if (list === undefined) found.set(ctx, [held]);
    else if (list.length < MAX_REQUESTS) list.push(held);
    else {
      diagnostics.report(
        "requests_cut",
        `tasks hold more than ${MAX_REQUESTS} requests of the ring at 0x${ctx.toString(16)}`,
        "the others",
      );
    }
  };
  const ofWork = (work: bigint) => containerOf(program, work, { type: "io_kiocb", member: "work" });
  for (const process of processes) {
    if (program.memory.budget.isSpent) break;
    const queues = new Set<bigint>();
    for (const task of process.threads) {
      diagnostics.attempt(
        {
          code: "worker_unreadable",
          action: `io_uring work of process ${process.pid}`,
          hides: "requests in flight in its workers",
        },
        () => {
          const worker = workerOf(task);
          if (worker !== undefined) {
            const work = worker.tryDeref("cur_work");
            if (work === undefined) return;
            add(ofWork(work.address), "io_wq_running", task);
            // Work with the same hash (writes to one file) is taken off the queue with it, and
            // waits behind it.
            const next = { type: "io_wq_work", member: "list", limit: MAX_REQUESTS };
            for (const behind of hlistForEachEntry(program, work.addressOf("list.next"), next)) {
              add(ofWork(behind.address), "io_wq_queued");
            }
          }
          const tctx = task.tryDeref("io_uring");
          if (tctx === undefined) return;
          for (const kiocb of taskWork(program, tctx)) add(kiocb, "task_work");
          // What it points to is declared only, not defined, in some kernels' types.
          const queue = tctx.has("io_wq") ? tctx.derefAs("io_wq", "io_wq") : undefined;
          if (queue === undefined || queues.has(queue.address)) return;
          queues.add(queue.address);
          for (const work of queuedWork(program, queue)) add(ofWork(work), "io_wq_queued");
        },
      );
    }
  }
  return found;
}

/**
 * The `struct io_worker` of a thread that is one: in `pf_io_worker` until Linux 5.16, then
 * (e32cf5dfbe22) where kernel threads keep theirs.
 */
function workerOf(task: KernelObject): KernelObject | undefined {
  if (task.has("pf_io_worker")) return task.derefAs("pf_io_worker", "io_worker");
  if ((task.number("flags") & PF_IO_WORKER) === 0) return undefined;
  return task.derefAs("worker_private", "io_worker");
}

/** `io_uring_task.task_list`: what has to run in the task's own context. */
function* taskWork(program: Program, tctx: KernelObject): Generator<KernelObject> {
  if (tctx.has("task_head")) yield* queued(tctx, { queue: "task_list", head: "task_head" });
  else if (tctx.has("task_list.first")) {
    yield* entries(program, tctx.addressOf("task_list"), "io_task_work.node");
  }
}

/**
 * Requests of a `struct mpscq` (Linux 7.x, `io_uring/mpscq.h`), whose reader keeps its place in a
 * pointer of its own. The queue's stub may stand between them.
 */
function* queued(
  holder: KernelObject,
  { queue, head }: { queue: string; head: string },
): Generator<KernelObject> {
  const stub = holder.addressOf(`${queue}.stub`);
  const node = { type: "llist_node", member: "next", limit: MAX_REQUESTS };
  const of = { type: "io_kiocb", member: "io_task_work.node" };
  for (const { address } of hlistForEachEntry(holder.program, holder.addressOf(head), node)) {
    if (address !== stub) yield containerOf(holder.program, address, of);
  }
}

/** Addresses of the queued `io_wq_work` of a work queue. */
function* queuedWork(program: Program, queue: KernelObject): Generator<bigint> {
  const accounts: bigint[] = [];
  let type = "io_wq_acct";
  if (queue.has("acct")) {
    // Since Linux 6.4 (da64d6db3bd3) a queue is not split by node.
    const size = program.struct(type).size;
    for (let i = 0; i < queue.count("acct"); i++) {
      accounts.push(queue.addressOf("acct") + BigInt(i * size));
    }
  } else {
    if (program.types.struct(type) === undefined) type = "io_wqe_acct";
    const size = program.struct(type).size;
    const nodesAt = program.symbols.lookup("nr_node_ids");
    const nodes = nodesAt === undefined
      ? 1
      : new DataView(program.memory.read(nodesAt, 4).slice().buffer).getUint32(0, true);
    for (let node = 0; node < Math.min(nodes, 1024); node++) {
      const address = program.memory.readPointer(queue.addressOf("wqes") + BigInt(node * 8));
      if (address === 0n) continue;
      const wqe = program.object("io_wqe", address);
      for (let i = 0; i < wqe.count("acct"); i++) {
        accounts.push(wqe.addressOf("acct") + BigInt(i * size));
      }
    }
  }
  const entry = { type: "io_wq_work", member: "list", limit: MAX_REQUESTS };
  for (const account of accounts) {
    const head = program.object(type, account).addressOf("work_list");
    for (const work of hlistForEachEntry(program, head, entry)) yield work.address;
  }
}

/**
 * Requests that a ring holds in its own lists, and those behind them in their chains, each once.
 * `ofTasks` are those that tasks hold for it.
 */
export function readHeldRequests(
  ctx: KernelObject,
  ofTasks: readonly HeldRequest[],
  notes: RingNotes,
): HeldRequest[] {
  const found = new RequestSet<HeldRequest>(ctx, "requests in flight", notes);
  const add = (held: HeldRequest) => found.add(held.kiocb, held);
  // What runs or is queued says more than the table that a request may be in as well.
  for (const held of ofTasks) add(held);
  for (const { name, state, read } of LISTS) {
    try {
      for (const kiocb of read(ctx)) if (!add({ kiocb, state })) break;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      notes.report("request_list_broken", `${name}: ${error.message}`, "requests in flight");
    }
  }
  for (const { kiocb } of found.all()) {
    try {
      for (const linked of chain(kiocb)) if (!add({ kiocb: linked, state: "linked" })) break;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      notes.report("request_list_broken", `link: ${error.message}`, "linked requests");
    }
  }
  return found.own();
}

/** Requests that a ring's lists lead to, each once, and no more than can be told of. */
class RequestSet<T> {
  readonly #ctx: KernelObject;
  readonly #what: string;
  readonly #notes: RingNotes;
  readonly #found = new Map<bigint, { kiocb: KernelObject; item: T }>();

  constructor(ctx: KernelObject, what: string, notes: RingNotes) {
    this.#ctx = ctx;
    this.#what = what;
    this.#notes = notes;
  }

  /** Adds one; false, with a note, once there is no room. */
  add(kiocb: KernelObject, item: T): boolean {
    if (this.#found.has(kiocb.address)) return true;
    if (this.#found.size < MAX_REQUESTS) {
      this.#found.set(kiocb.address, { kiocb, item });
      return true;
    }
    this.#notes.report("requests_cut", `more than ${MAX_REQUESTS} ${this.#what}`, "the others");
    return false;
  }

  all(): T[] {
    return [...this.#found.values()].map(({ item }) => item);
  }

  /** Those that are the ring's, by their own word; a note says of which that cannot be read. */
  own(): T[] {
    return [...this.#found.values()].filter(({ kiocb }) => {
      const owner = readable(() => kiocb.pointer("ctx"));
      if (owner === undefined) {
        const at = `0x${kiocb.address.toString(16)}`;
        this.#notes.report("request_unreadable", `request at ${at} cannot be read`, this.#what);
      }
      return owner === this.#ctx.address;
    }).map(({ item }) => item);
  }
}

/**
 * The requests behind one, by `io_kiocb.link` (since Linux 5.11, f2f87370bb66).
 *
 * @throws {MemoryFault} where one cannot be read.
 */
function* chain(kiocb: KernelObject): Generator<KernelObject> {
  const seen = new Set<bigint>([kiocb.address]);
  let next = kiocb.has("link") ? kiocb.tryDeref("link") : undefined;
  while (next !== undefined && !seen.has(next.address)) {
    if (seen.size >= MAX_REQUESTS) throw new BrokenList(`more than ${MAX_REQUESTS} in one chain`);
    seen.add(next.address);
    yield next;
    next = next.tryDeref("link");
  }
}

interface RequestList {
  readonly name: string;
  readonly state: RequestState;
  readonly read: (ctx: KernelObject) => Iterable<KernelObject>;
}

/** The lists of `struct io_ring_ctx` that requests wait in; a kernel lacks some. */
const LISTS: readonly RequestList[] = [
  { name: "cancel_table", state: "poll_armed", read: (ctx) => hashTable(ctx, "cancel_table") },
  {
    name: "cancel_table_locked",
    state: "poll_armed",
    read: (ctx) => hashTable(ctx, "cancel_table_locked"),
  },
  { name: "cancel_hash", state: "poll_armed", read: cancelHash },
  { name: "timeout_list", state: "timeout", read: (ctx) => timeouts(ctx, "timeout_list") },
  { name: "ltimeout_list", state: "link_timeout", read: (ctx) => timeouts(ctx, "ltimeout_list") },
  { name: "defer_list", state: "deferred", read: deferred },
  { name: "waitid_list", state: "waitid", read: (ctx) => hashed(ctx, "waitid_list") },
  { name: "futex_list", state: "futex", read: (ctx) => hashed(ctx, "futex_list") },
  {
    name: "cancelable_uring_cmd",
    state: "uring_cmd",
    read: (ctx) => hashed(ctx, "cancelable_uring_cmd"),
  },
  { name: "iopoll_list", state: "iopoll", read: iopoll },
  { name: "work_llist", state: "task_work", read: (ctx) => taskWorkOf(ctx, "work_llist") },
  { name: "retry_llist", state: "task_work", read: (ctx) => taskWorkOf(ctx, "retry_llist") },
  {
    name: "work_list",
    state: "task_work",
    read: (ctx) =>
      ctx.has("work_head") ? queued(ctx, { queue: "work_list", head: "work_head" }) : [],
  },
  { name: "fallback_llist", state: "task_work", read: (ctx) => taskWorkOf(ctx, "fallback_llist") },
];

/** `struct io_hash_table` (since Linux 6.0, 9ca9fb24d5fe and e6f89be61410). */
function* hashTable(ctx: KernelObject, name: string): Generator<KernelObject> {
  if (!ctx.has(name)) return;
  const table = ctx.embedded(name);
  const buckets = table.pointer("hbs");
  const bits = table.number("hash_bits");
  if (buckets === 0n) return;
  if (bits > MAX_HASH_BITS) {
    throw new BrokenList(`2^${bits} buckets, expected 2^${MAX_HASH_BITS} at most`);
  }
  const bucket = ctx.program.struct("io_hash_bucket");
  const list = ctx.program.offsetOf("io_hash_bucket", "list");
  yield* heads(ctx.program, { first: buckets + BigInt(list), stride: bucket.size, bits });
}

/** `cancel_hash`, before {@linkcode hashTable}. */
function* cancelHash(ctx: KernelObject): Generator<KernelObject> {
  if (!ctx.has("cancel_hash") || !ctx.has("cancel_hash_bits")) return;
  const bits = ctx.number("cancel_hash_bits");
  const first = ctx.pointer("cancel_hash");
  if (first === 0n) return;
  if (bits > MAX_HASH_BITS) {
    throw new BrokenList(`2^${bits} buckets, expected 2^${MAX_HASH_BITS} at most`);
  }
  yield* heads(ctx.program, { first, stride: 8, bits });
}

function* heads(
  program: Program,
  { first, stride, bits }: { first: bigint; stride: number; bits: number },
): Generator<KernelObject> {
  for (let i = 0; i < 2 ** bits; i++) {
    yield* entries(program, first + BigInt(i * stride), "hash_node");
  }
}

function* hashed(ctx: KernelObject, name: string): Generator<KernelObject> {
  if (ctx.has(name)) yield* entries(ctx.program, ctx.addressOf(name), "hash_node");
}

function* taskWorkOf(ctx: KernelObject, name: string): Generator<KernelObject> {
  if (ctx.has(`${name}.first`)) {
    yield* entries(ctx.program, ctx.addressOf(name), "io_task_work.node");
  }
}

/** Timeouts are linked through their command, which starts where the request does. */
function* timeouts(ctx: KernelObject, name: string): Generator<KernelObject> {
  if (!ctx.has(name)) return;
  const entry = { type: "io_timeout", member: "list", limit: MAX_REQUESTS };
  for (const timeout of listForEachEntry(ctx.program, ctx.addressOf(name), entry)) {
    yield timeout.as("io_kiocb");
  }
}

function* deferred(ctx: KernelObject): Generator<KernelObject> {
  if (!ctx.has("defer_list")) return;
  const entry = { type: "io_defer_entry", member: "list", limit: MAX_REQUESTS };
  for (const item of listForEachEntry(ctx.program, ctx.addressOf("defer_list"), entry)) {
    yield item.deref("req");
  }
}

function* iopoll(ctx: KernelObject): Generator<KernelObject> {
  // A list of io_wq_work_node from Linux 5.16 (5eef4e87eb0b) on, of list_head before and in 7.x.
  if (ctx.has("iopoll_list.first")) {
    yield* entries(ctx.program, ctx.addressOf("iopoll_list"), "comp_list");
    return;
  }
  const member = ["iopoll_node", "inflight_entry"].find((name) =>
    ctx.program.has("io_kiocb", name)
  );
  if (member === undefined || !ctx.has("iopoll_list.next")) return;
  const entry = { type: "io_kiocb", member, limit: MAX_REQUESTS };
  yield* listForEachEntry(ctx.program, ctx.addressOf("iopoll_list"), entry);
}

/** Requests of a list that starts with a pointer and ends with null. */
function entries(program: Program, head: bigint, member: string): Iterable<KernelObject> {
  const entry: EntryOf = { type: "io_kiocb", member, limit: MAX_REQUESTS };
  return hlistForEachEntry(program, head, entry);
}

/**
 * Requests that the ring keeps for reuse, and those whose completion is about to be posted: opcode,
 * user_data and result of the last requests are still in them, where no process can change them
 * (`ctx->submit_state`, since Linux 5.13).
 *
 * @param most Requests that the ring has taken and that are over. It allocates objects by the batch,
 *   and those that it has not used yet still are what another ring made of them.
 */
export function readRecycledRequests(
  ctx: KernelObject,
  { most, notes }: { most: number; notes: RingNotes },
): KernelObject[] {
  const found = new RequestSet<KernelObject>(ctx, "completed requests", notes);
  for (const { name, read } of RECYCLED) {
    if (!ctx.has(name)) continue;
    try {
      for (const kiocb of read(ctx, name)) if (!found.add(kiocb, kiocb)) break;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      notes.report("request_list_broken", `${name}: ${error.message}`, "completed requests");
    }
  }
  return found.own()
    .filter((kiocb) => readable(() => wasUsed(kiocb)))
    .slice(0, Math.max(0, most));
}

/**
 * Whether an object has been a request of its ring. One that has not is all zeros, or has nothing but
 * its completion cleared (`io_preinit_req()`); a request that looks the same is not told from it.
 */
function wasUsed(kiocb: KernelObject): boolean {
  const result = resultOfCompleted(kiocb);
  if (userDataOf(kiocb) !== 0n) return true;
  return result === undefined ? opcodeOf(kiocb) !== 0 : result !== 0;
}

interface RecycledRequests {
  /** A member of `struct io_ring_ctx`; a kernel lacks some. */
  readonly name: string;
  readonly read: (ctx: KernelObject, name: string) => Iterable<KernelObject>;
}

/** In this order, as only the last two have objects that were not used, behind those that were. */
const RECYCLED: readonly RecycledRequests[] = [
  { name: "submit_state.compl_reqs", read: completing },
  { name: "locked_free_list", read: free },
  { name: "submit_state.free_list", read: free },
  { name: "submit_state.reqs", read: (ctx, name) => listed(ctx, name, "submit_state.free_reqs") },
];

/**
 * A list that starts with one pointer, linked by `comp_list`, since Linux 5.16 (c2b6c6bc4e0d); a
 * `struct list_head` before.
 */
function free(ctx: KernelObject, name: string): Iterable<KernelObject> {
  if (!ctx.has(`${name}.prev`)) return entries(ctx.program, ctx.addressOf(name), "comp_list");
  const entry = { type: "io_kiocb", member: "inflight_entry", limit: MAX_REQUESTS };
  return listForEachEntry(ctx.program, ctx.addressOf(name), entry);
}

/** A list since Linux 5.16 (6f33b0bc4ea4), an array before. */
function completing(ctx: KernelObject, name: string): Iterable<KernelObject> {
  if (ctx.has(`${name}.first`)) return entries(ctx.program, ctx.addressOf(name), "comp_list");
  return listed(ctx, name, "submit_state.compl_nr");
}

/** The requests of an array of pointers of which the first `count` are in use. */
function* listed(ctx: KernelObject, name: string, count: string): Generator<KernelObject> {
  const used = Math.min(ctx.number(count), ctx.count(name));
  for (let i = 0; i < used; i++) {
    const address = ctx.program.memory.readPointer(ctx.addressOf(name) + BigInt(i * 8));
    if (address !== 0n) yield ctx.program.object("io_kiocb", address);
  }
}
