import type { SearchPattern } from "../memory/image_file.ts";
import { searchSteps, storedBytes, type TellProgress } from "../memory/physical_memory.ts";
import { type DirectMap, findDirectMap } from "../kernel/direct_map.ts";
import { findInitTask } from "../kernel/init_task.ts";
import { BrokenList } from "../kernel/lists.ts";
import type { KernelObject, Program } from "../kernel/program.ts";
import type { ScanContext } from "./context.ts";
import { readable } from "./diagnostics.ts";
import type { FoundRing } from "./find_rings.ts";
import { taskOf } from "./command_reader.ts";
import { isMapped } from "./page_frames.ts";
import { opcodeOf, userDataOf } from "./prepared_request.ts";
import { setupFlagNames } from "../uapi/ring_flags.ts";
import { HeaderIndex } from "./header_index.ts";
import { completionsOf } from "./remnants.ts";
import { RequestOwners } from "./request_owners.ts";
import { isUsed, RingHeaders } from "./ring_header.ts";
import { isQueueSize, MAX_CQ_ENTRIES, MAX_SQ_ENTRIES } from "./ring_state.ts";
import { taskOfPid } from "./tasks.ts";

/** Rings that nothing but memory itself leads to. */
export interface CarvedRings {
  /** Live ones, by their open files, and freed ones, by what is left of their contexts. */
  readonly rings: readonly FoundRing[];
  /** The shared memory of rings whose contexts are not to be found: each a `struct io_rings`. */
  readonly headers: readonly KernelObject[];
  /** Requests of freed rings, by the address of their context. */
  readonly requests: ReadonlyMap<bigint, readonly KernelObject[]>;
}

const PAGE_SIZE = 4096;
/** Searched in one call; between calls progress is said. */
const CHUNK = 256 * 1024 * 1024;
const HITS_AT_ONCE = 4096;
/** Of each kind. Anyone can fill memory with what looks like what is looked for. */
const MAX_CANDIDATES = 1_000_000;
const MAX_REQUESTS = 1_000_000;
/** `MAX_PAGE_ORDER` of most configurations (`include/linux/mmzone.h`). */
const MAX_ORDER = 10;
/** Bytes whose search costs one unit of a {@linkcode ReadBudget}. */
const SEARCHED_PER_UNIT = 4096;
/** `enum` of the scheduler's classes: every task points to one. */
const SCHED_CLASSES = ["fair_sched_class", "rt_sched_class", "dl_sched_class", "ext_sched_class"];
const PID_MAX_LIMIT = 4 * 1024 * 1024;
/** A `file_ref_t` above this is one of a file that is freed (since Linux 6.13). */
const FILE_REF_MAXREF = 0x7fffffffffffffffn;
const LOWER_HALF_END = 1n << 63n;

/** One kind of object that memory is searched for. */
interface Kind {
  /** In the plural, for people. */
  readonly what: string;
  readonly type: string;
  /** What stands in each such object, that many bytes from its beginning. */
  readonly patterns: readonly SearchPattern[];
  readonly offset: number;
  /** Looks at one that may be such an object. */
  take(object: KernelObject, physical: number): void;
}

/** Finds what is in memory by its own bytes, whether or not any list leads to it. */
export class Carver {
  /** Live tasks: by their scheduling class, proven by the pid that leads back to them. */
  readonly tasks: KernelObject[] = [];
  #context: ScanContext;
  #program: Program;
  #map: DirectMap | undefined;
  #progress: TellProgress;
  /** Rings by files that are open, by the address of their contexts. */
  #open = new Map<bigint, FoundRing>();
  /** Contexts of rings that have been torn down. */
  #freed: KernelObject[] = [];
  /** Pages that begin with a `struct io_rings`, by physical address. */
  #headers = new Map<number, KernelObject>();

  /** Searches all memory, in one pass where the kernel names what is looked for. */
  constructor(context: ScanContext, progress: TellProgress = () => {}) {
    this.#context = context;
    this.#program = context.program;
    this.#progress = progress;
    const known = readable(() => findInitTask(this.#program)?.pointer("tasks.next"));
    this.#map = known === undefined ? undefined : findDirectMap(this.#program, known);
    if (this.#map === undefined) {
      context.diagnostics.report(
        "direct_map_unknown",
        "where the kernel maps all memory cannot be told",
        "whatever a search of memory would find",
      );
      return;
    }
    const operations = this.#program.symbols.lookup("io_uring_fops");
    this.#search([
      this.#taskKind(),
      operations === undefined ? undefined : this.#fileKind(operations),
      this.#freedKind(),
      this.#headerKind(),
    ]);
  }

  /** Rings that are not among `known`. */
  rings(known: readonly FoundRing[]): CarvedRings {
    this.#learnOperations(known);
    const contexts = new Set(known.map(({ ctx }) => ctx.address));
    const live = [...this.#open.values()].filter(({ ctx }) => !contexts.has(ctx.address));
    for (const { ctx } of live) contexts.add(ctx.address);
    const headers = new Map(this.#headers);
    for (const { ctx } of [...known, ...live]) headers.delete(this.#headerOf(ctx) ?? -1);
    const requests = this.#requests(contexts);
    const freed = this.#freedRings(contexts, headers);
    const queues = this.#queuesByRequests(freed, requests, headers);
    const complete = freed.map((ring) => {
      const own = queues.get(ring.ctx.address);
      return own === undefined ? ring : { ...ring, freed: { queues: own } };
    });
    const alone = [...headers.values()].filter((rings) => readable(() => isUsed(rings)));
    return { rings: [...live, ...complete], headers: alone, requests };
  }

  #taskKind(): Kind | undefined {
    const { symbols } = this.#program;
    const classes = SCHED_CLASSES.flatMap((name) => symbols.lookup(name) ?? []);
    if (classes.length === 0) {
      this.#notRun("tasks", "the kernel does not name its scheduling classes");
      return undefined;
    }
    return this.#pointing("task_struct", "sched_class", {
      what: "tasks",
      to: classes,
      take: (task) => {
        if (readable(() => isTask(task))) this.tasks.push(task);
      },
    });
  }

  /** Rings by files that are open, whether or not in a table of descriptors. */
  #fileKind(operations: bigint): Kind {
    return this.#pointing("file", "f_op", {
      what: "open files",
      to: [operations],
      take: (file, physical) => {
        const ctx = readable(() =>
          isOpen(file)
            ? this.#program.object("io_ring_ctx", file.pointer("private_data"))
            : undefined
        );
        if (ctx === undefined || this.#open.has(ctx.address)) return;
        if (!readable(() => hasQueues(ctx) && this.#headerOf(ctx) !== undefined)) return;
        if (isMapped(this.#program, physical)) return;
        this.#open.set(ctx.address, carvedRing(ctx, file));
      },
    });
  }

  /** Where no symbol names what files of rings do, it is learned from a ring. */
  #learnOperations(known: readonly FoundRing[]): void {
    if (this.#program.symbols.lookup("io_uring_fops") !== undefined) return;
    const [operations] = known.flatMap(({ file }) =>
      file && readable(() => file.pointer("f_op")) || []
    );
    if (operations !== undefined) this.#search([this.#fileKind(operations)]);
    else {
      this.#notRun("open files of rings", "no symbol io_uring_fops, and no ring to learn it from");
    }
  }

  /** Freed contexts that were not used again still hold the work that freed them (Linux 5.7). */
  #freedKind(): Kind | undefined {
    const work = this.#program.symbols.lookup("io_ring_exit_work");
    if (work === undefined || !this.#program.has("io_ring_ctx", "exit_work.func")) {
      this.#notRun("contexts of freed rings", "the kernel does not name the work that frees them");
      return undefined;
    }
    return this.#pointing("io_ring_ctx", "exit_work.func", {
      what: "freed rings",
      to: [work],
      take: (ctx) => {
        if (readable(() => wasRing(ctx))) this.#freed.push(ctx);
      },
    });
  }

  #headerKind(): Kind {
    const offset = this.#program.offsetOf("io_rings", "cq_ring_entries");
    const patterns: SearchPattern[] = [];
    for (let entries = 1; entries <= MAX_CQ_ENTRIES; entries *= 2) {
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setUint32(0, entries, true);
      patterns.push({ bytes, align: PAGE_SIZE, phase: offset });
    }
    const heads = new RingHeaders(this.#program);
    return {
      what: "queues",
      type: "io_rings",
      patterns,
      offset,
      take: (rings, physical) => {
        if (!readable(() => heads.isHeader(rings))) return;
        // Of an image that lies in a file or a process of this machine, the rings are not its own.
        if (!isMapped(this.#program, physical)) this.#headers.set(physical, rings);
      },
    };
  }

  /** Rings that have been torn down. Queues that fit one are its own, and are taken out of `headers`. */
  #freedRings(
    contexts: ReadonlySet<bigint>,
    headers: Map<number, KernelObject>,
  ): FoundRing[] {
    const found: FoundRing[] = [];
    const index = new HeaderIndex(headers);
    for (const ctx of this.#freed) {
      if (this.#program.memory.budget.isSpent) break;
      if (contexts.has(ctx.address)) continue;
      const at = index.headerOf(ctx, this.#headerOf(ctx));
      const queues = at === undefined ? undefined : headers.get(at);
      if (at !== undefined) {
        headers.delete(at);
        index.remove(at);
      }
      found.push({ ...carvedRing(ctx, undefined), freed: { queues } });
    }
    return found;
  }

  /**
   * The queues of freed rings that lack them, by the address of the context: those whose completions
   * name its requests. They are taken out of `headers`.
   */
  #queuesByRequests(
    freed: readonly FoundRing[],
    requests: ReadonlyMap<bigint, readonly KernelObject[]>,
    headers: Map<number, KernelObject>,
  ): Map<bigint, KernelObject> {
    const found = new Map<bigint, KernelObject>();
    const owners = new RequestOwners(
      freed.filter((ring) => ring.freed?.queues === undefined)
        .map(({ ctx: { address } }) => [address, requests.get(address) ?? []] as const),
    );
    if (owners.isEmpty) return found;
    for (const [at, queues] of headers) {
      if (this.#program.memory.budget.isSpent) break;
      const ctx = owners.take(readable(() => completionsOf(queues)) ?? []);
      if (ctx === undefined) continue;
      headers.delete(at);
      found.set(ctx, queues);
    }
    return found;
  }

  /** Physical address of a ring's shared memory. */
  #headerOf(ctx: KernelObject): number | undefined {
    return readable(() => this.#program.memory.translate(ctx.pointer("rings")));
  }

  /**
   * Requests in the slabs of `req_cachep`, those of rings in `known` left out: their own lists say
   * more. A slab is found by its entry in the array of `struct page` or `struct slab` (Linux 5.17).
   */
  #requests(known: ReadonlySet<bigint>): Map<bigint, KernelObject[]> {
    const found = new Map<bigint, KernelObject[]>();
    const cache = readable(() => this.#program.variable("req_cachep", "io_ring_ctx"))?.address;
    if (cache === undefined) {
      this.#notRun("requests in freed memory", "the kernel does not name its cache of requests");
      return found;
    }
    const last = this.#program.types.enumWith("IORING_OP_NOP")?.get("IORING_OP_LAST") ?? 0;
    let count = 0;
    const what = "requests in freed memory";
    this.#context.diagnostics.attempt(
      { code: "slabs_unreadable", action: what, hides: what },
      () => {
        for (const kiocb of this.#slabsOf(cache)) {
          const ctx = readable(() => requestOwner(kiocb, last));
          if (ctx === undefined || known.has(ctx)) continue;
          if (++count > MAX_REQUESTS) return this.#giveUp(what);
          const list = found.get(ctx);
          if (list === undefined) found.set(ctx, [kiocb]);
          else list.push(kiocb);
        }
      },
    );
    return found;
  }

  /** The objects of a slab cache, in use or not. */
  *#slabsOf(variable: bigint): Generator<KernelObject> {
    const { memory, symbols, types } = this.#program;
    const cache = this.#program.object("kmem_cache", memory.readPointer(variable));
    const pages = symbols.lookup("vmemmap_base");
    if (this.#map === undefined) return;
    if (pages === undefined) {
      this.#notRun("requests in freed memory", "the kernel does not name its array of pages");
      return;
    }
    const base = memory.readPointer(pages);
    const type = types.struct("slab") === undefined ? "page" : "slab";
    const offset = this.#program.offsetOf(type, "slab_cache");
    const pageSize = BigInt(this.#program.struct("page").size);
    const order = cache.number("oo.x") >>> 16;
    const stride = cache.number("size");
    if (order > MAX_ORDER || stride < 8) {
      throw new BrokenList(`a slab has 2^${order} pages and objects of ${stride} bytes`);
    }
    const top = BigInt(Math.ceil((memory.physical.ranges.at(-1)?.end ?? 0) / PAGE_SIZE));
    const pattern = { bytes: pointerBytes(cache.address), align: 8 };
    for (const part of memory.mappings(base, base + top * pageSize)) {
      if (!memory.budget.spend(part.length / SEARCHED_PER_UNIT)) return;
      const within = { start: part.physical, end: part.physical + part.length };
      const [hits = []] = memory.physical.search([pattern], { ...within, limit: HITS_AT_ONCE });
      for (const hit of this.#allOf(pattern, hits, within.end)) {
        const entry = part.start + BigInt(hit - part.physical) - BigInt(offset) - base;
        if (entry % pageSize !== 0n) continue;
        const start = Number(entry / pageSize) * PAGE_SIZE;
        for (let at = 0; at + stride <= PAGE_SIZE << order; at += stride) {
          if (memory.budget.isSpent) return;
          const address = this.#map.addressOf(start + at);
          if (address !== undefined) yield this.#program.object("io_kiocb", address);
        }
      }
    }
  }

  /** Objects with a member that points to one of some addresses. */
  #pointing(
    type: string,
    member: string,
    { what, to, take }: { to: readonly bigint[] } & Pick<Kind, "what" | "take">,
  ): Kind {
    const patterns = to.map((address) => ({ bytes: pointerBytes(address), align: 8 }));
    return { what, type, patterns, offset: this.#program.offsetOf(type, member), take };
  }

  /** Searches all memory for some kinds of objects at once. */
  #search(asked: readonly (Kind | undefined)[]): void {
    const kinds = asked.filter((kind) => kind !== undefined);
    const { physical, budget } = this.#program.memory;
    const total = storedBytes(physical);
    let done = 0;
    const wanted = kinds.flatMap((kind) => kind.patterns.map((pattern) => ({ kind, pattern })));
    const patterns = wanted.map(({ pattern }) => pattern);
    const candidates = new Map(kinds.map((kind) => [kind, 0]));
    for (const { start, end, held } of searchSteps(physical, CHUNK)) {
      const found = physical.search(patterns, { start, end, limit: HITS_AT_ONCE });
      for (const [i, { kind, pattern }] of wanted.entries()) {
        for (const hit of this.#allOf(pattern, found[i]!, end)) {
          if (budget.isSpent) return;
          const count = candidates.get(kind)! + 1;
          candidates.set(kind, count);
          if (count > MAX_CANDIDATES) {
            if (count === MAX_CANDIDATES + 1) this.#giveUp(kind.what);
            break;
          }
          const address = this.#map?.addressOf(hit - kind.offset);
          if (address !== undefined) {
            kind.take(this.#program.object(kind.type, address), hit - kind.offset);
          }
        }
      }
      done += held;
      this.#progress(done, total, "of memory searched for rings and tasks");
    }
  }

  /** Hits of a pattern up to `end`: the first of them, and those for which there was no room. */
  *#allOf(pattern: SearchPattern, first: readonly number[], end: number): Generator<number> {
    const { physical } = this.#program.memory;
    for (let hits = first;;) {
      yield* hits;
      if (hits.length < HITS_AT_ONCE) return;
      const options = { start: hits.at(-1)! + 1, end, limit: HITS_AT_ONCE };
      [hits = []] = physical.search([pattern], options);
    }
  }

  #giveUp(what: string): void {
    this.#context.diagnostics.report(
      "carving_limit_reached",
      `memory holds more than ${MAX_CANDIDATES} things that look like ${what}`,
      `${what} that come later in memory`,
    );
  }

  #notRun(what: string, why: string): void {
    this.#context.diagnostics.report(
      "carving_not_run",
      `${what} were not searched for: ${why}`,
      what,
    );
  }
}

function carvedRing(ctx: KernelObject, file: KernelObject | undefined): FoundRing {
  return { ctx, foundBy: new Set(["carved"]), holders: [], submitters: new Set(), file };
}

/**
 * A task that runs or can run: its pid's own structure has the same number, and no other task. What a
 * failed fork leaves is a copy of the parent, pid and all; what wrote memory to a disk leaves copies of
 * any task in the page cache, whose lists lead back to the original.
 */
function isTask(task: KernelObject): boolean {
  if (task.number("usage.refs.counter") <= 0) return false;
  const pid = task.number("pid");
  if (pid <= 0 || pid > PID_MAX_LIMIT || task.pointer("signal") < LOWER_HALF_END) return false;
  const struct = task.derefAs("thread_pid", "pid");
  if (struct === undefined) return false;
  if (task.program.object("upid", struct.addressOf("numbers")).number("nr") !== pid) return false;
  if ((taskOfPid(struct) ?? task).address !== task.address) return false;
  const { memory } = task.program;
  const children = task.addressOf("children");
  return memory.readPointer(memory.readPointer(children) + 8n) === children;
}

/** Whether a `struct file` is in use. */
function isOpen(file: KernelObject): boolean {
  if (!file.has("f_count")) return file.bigint("f_ref.refcnt.counter") <= FILE_REF_MAXREF;
  return BigInt.asIntN(64, file.bigint("f_count.counter")) > 0n;
}

function hasQueues(ctx: KernelObject): boolean {
  return isQueueSize(ctx.number("sq_entries"), MAX_SQ_ENTRIES) &&
    isQueueSize(ctx.number("cq_entries"), MAX_CQ_ENTRIES);
}

/**
 * Whether freed memory is still that of a context, and not a copy of it in the page cache: the work
 * that freed it is on no list, and says so by a list that leads to itself. The allocator keeps a
 * pointer in the middle of free objects, where in some kernels the size of the completion queue was.
 */
function wasRing(ctx: KernelObject): boolean {
  const entry = ctx.addressOf("exit_work.entry");
  const { memory } = ctx.program;
  if ([0n, 8n].every((link) => memory.readPointer(entry + link) !== entry)) return false;
  return isQueueSize(ctx.number("sq_entries"), MAX_SQ_ENTRIES) &&
    setupFlagNames(ctx.number("flags") >>> 0).every((name) => !name.startsWith("0x"));
}

/** The context that a request belongs to, or undefined where the object is none, or never was used. */
function requestOwner(kiocb: KernelObject, opcodes: number): bigint | undefined {
  const ctx = kiocb.pointer("ctx");
  if (ctx < LOWER_HALF_END || ctx % 8n !== 0n || opcodeOf(kiocb) >= opcodes) return undefined;
  if (userDataOf(kiocb) === 0n || taskOf(kiocb) === undefined) return undefined;
  return ctx;
}

function pointerBytes(address: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, address, true);
  return bytes;
}
