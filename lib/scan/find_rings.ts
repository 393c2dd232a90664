import { listForEachEntry } from "../kernel/lists.ts";
import type { KernelObject, Program } from "../kernel/program.ts";
import { KERNEL_IMAGE_START } from "../kernel/symbols.ts";
import { xaForEach } from "../kernel/xarray.ts";
import type { FoundBy } from "../record/records.ts";
import { viewOf } from "../uapi/bytes.ts";
import type { ScanContext } from "./context.ts";
import { readable } from "./diagnostics.ts";
import { sockOf } from "./file_target.ts";
import { hasParkedFiles, parkedFiles } from "./parked_files.ts";
import type { Process } from "./tasks.ts";
import { vmasOf } from "./user_memory.ts";

/** Who holds a ring: a process, by a file descriptor or (fd -1) in another way. */
export interface Holder {
  readonly process: Process;
  readonly fd: number;
}

/** One ring, and how it was reached. */
export interface FoundRing {
  readonly ctx: KernelObject;
  readonly foundBy: Set<FoundBy>;
  readonly holders: Holder[];
  /** Processes with a task that has submitted to the ring, or drives it. */
  readonly submitters: Set<Process>;
  /** The ring's open file, where a route passed it. */
  file: KernelObject | undefined;
  /** It no longer exists: what is left of it is read, and none of its pointers followed. */
  readonly freed?: { readonly queues: KernelObject | undefined };
}

/** The order in which routes are named in a record. */
const ROUTE_ORDER: readonly FoundBy[] = [
  "fd",
  "tctx",
  "registered",
  "sqpoll",
  "vma",
  "unix",
  "carved",
];

/** Routes of a deep scan alone: through the queues of all unix sockets, and a search of memory. */
export const DEEP_ROUTES: readonly FoundBy[] = ["unix", "carved"];
/** Routes of every scan. */
export const ROUTES: readonly FoundBy[] = ROUTE_ORDER.filter((route) =>
  !DEEP_ROUTES.includes(route)
);

/** `NR_OPEN` can be raised; more descriptors than this are damage. */
const MAX_FDS = 16 * 1024 * 1024;
const FDS_AT_ONCE = 65536;
/** Members of `struct io_ring_ctx` begin cache lines of their own, so it does, too. */
const CONTEXT_ALIGN = 64n;
/** A process can duplicate a descriptor a million times. */
const MAX_HOLDERS = 65536;

/**
 * Every `io_ring_ctx` that a task leads to, each once: by file descriptors, by each thread's
 * `io_uring` context, by registered rings, by mappings, and by shared SQPOLL threads; with `deep` by
 * messages in unix sockets, too.
 */
export function findRings(
  context: ScanContext,
  processes: readonly Process[],
  { deep = false }: { deep?: boolean } = {},
): FoundRing[] {
  const finder = new Finder(context, deep);
  for (const process of processes) {
    if (context.program.memory.budget.isSpent) break;
    finder.visit(process);
  }
  finder.followSockets();
  finder.followSqThreads(processes);
  return finder.rings();
}

/** The routes of a ring in the order in which records name them. */
export function foundByOf(ring: FoundRing): FoundBy[] {
  return ROUTE_ORDER.filter((route) => ring.foundBy.has(route));
}

/** The processes that have to do with a ring: they hold it, or have submitted to it. */
export function processesOf(ring: FoundRing): Set<Process> {
  return new Set([...ring.holders.map((holder) => holder.process), ...ring.submitters]);
}

/** Pids of the processes whose rings each SQPOLL thread serves, by the address of its state. */
export function servedProcesses(rings: readonly FoundRing[]): ReadonlyMap<bigint, number[]> {
  const served = new Map<bigint, Set<number>>();
  for (const ring of rings) {
    const data = readable(() => ring.ctx.pointer("sq_data")) ?? 0n;
    if (data === 0n) continue;
    const pids = served.get(data) ?? new Set();
    for (const { pid } of processesOf(ring)) pids.add(pid);
    served.set(data, pids);
  }
  return new Map([...served].map(([data, pids]) => [data, [...pids].sort((a, b) => a - b)]));
}

/** Adds the tasks that have submitted to rings which no task led to (`tctx_list`, Linux 5.12). */
export function findSubmitters(
  { diagnostics }: ScanContext,
  rings: readonly FoundRing[],
  processes: readonly Process[],
): void {
  const byTask = new Map(
    processes.flatMap((process) =>
      process.threads.map(({ address }) => [address, process] as const)
    ),
  );
  for (const { ctx, submitters, freed } of rings) {
    if (freed !== undefined || !ctx.has("tctx_list")) continue;
    const entry = { type: "io_tctx_node", member: "ctx_node", limit: 65536 };
    diagnostics.attempt(
      {
        code: "submitters_unreadable",
        action: `tasks that submit to the ring at 0x${ctx.address.toString(16)}`,
        hides: "processes that use it",
      },
      () => {
        for (const node of listForEachEntry(ctx.program, ctx.addressOf("tctx_list"), entry)) {
          const process = byTask.get(node.pointer("task"));
          if (process !== undefined) submitters.add(process);
        }
      },
    );
  }
}

/** A socket, and the processes that hold it or a socket in which it waits. */
interface HeldSocket {
  readonly sock: KernelObject;
  readonly holders: Set<Process>;
}

class Finder {
  #context: ScanContext;
  #deep: boolean;
  #program: Program;
  #rings = new Map<bigint, FoundRing>();
  /** Whether a `struct file` is a ring's, by the address of its operations. */
  #ringOperations = new Map<bigint, boolean>();
  #fops: bigint | undefined;
  /** Sockets that processes hold, by the address of their `struct sock`. */
  #sockets = new Map<bigint, HeldSocket>();
  /** Rings with more holders than are kept. */
  #crowded = new Set<FoundRing>();

  constructor(context: ScanContext, deep: boolean) {
    this.#context = context;
    this.#deep = deep;
    this.#program = context.program;
    this.#fops = this.#program.symbols.lookup("io_uring_fops");
  }

  rings(): FoundRing[] {
    return [...this.#rings.values()];
  }

  visit(process: Process): void {
    const tables = new Set<bigint>();
    const spaces = new Set<bigint>();
    for (const task of process.threads) {
      this.#attempt(process, UNREADABLE_FD_TABLE, () => {
        const files = task.tryDeref("files");
        if (files === undefined || tables.has(files.address)) return;
        tables.add(files.address);
        this.#fdTable(process, files);
      });
      this.#attempt(process, UNREADABLE_TASK, () => {
        const tctx = task.tryDeref("io_uring");
        if (tctx !== undefined) this.#taskContext(process, tctx);
      });
      this.#attempt(process, UNREADABLE_MAPPINGS, () => {
        const mm = task.tryDeref("mm");
        if (mm === undefined || spaces.has(mm.address)) return;
        spaces.add(mm.address);
        this.#mappings(process, mm);
      });
    }
  }

  /** Rings that were sent through a socket, and wait to be received: a deep scan has noted them. */
  followSockets(): void {
    const { budget } = this.#program.memory;
    if (this.#sockets.size > 0 && !hasParkedFiles(this.#program)) {
      this.#context.diagnostics.report(
        "socket_queues_not_read",
        "the kernel's types do not say what a unix socket's messages hold",
        "rings that wait in unix sockets to be received",
      );
      return;
    }
    // Sockets wait in sockets: a map iterates over what is added meanwhile.
    for (const { sock, holders } of this.#sockets.values()) {
      this.#context.diagnostics.attempt(
        {
          code: "socket_queue_unreadable",
          action: `messages to the socket at 0x${sock.address.toString(16)}`,
          hides: "rings that wait in it to be received",
        },
        () => {
          for (const file of parkedFiles(sock)) {
            if (!budget.spend(holders.size)) return;
            const ring = this.#fileRing(file.address, "unix");
            if (ring === undefined) this.#noteSocket(file, holders);
            else for (const process of holders) this.#hold(ring, { process, fd: -1 });
          }
        },
      );
    }
  }

  /** Rings that share an SQPOLL thread with one already found (`IORING_SETUP_ATTACH_WQ`). */
  followSqThreads(processes: readonly Process[]): void {
    const seen = new Set<bigint>();
    const byPid = new Map(processes.map((process) => [process.pid, process]));
    // A map iterates over what is added meanwhile, so rings found here are followed too.
    for (const ring of this.#rings.values()) {
      this.#context.diagnostics.attempt(
        {
          code: "sq_data_unreadable",
          action: `SQPOLL state of the ring at 0x${ring.ctx.address.toString(16)}`,
          hides: "rings that share its thread",
        },
        () => {
          const data = ring.ctx.tryDeref("sq_data");
          if (data === undefined) return;
          const owner = this.#ownerOf(data, byPid);
          if (owner !== undefined) {
            ring.submitters.add(owner);
            ring.foundBy.add("sqpoll");
          }
          if (seen.has(data.address)) return;
          seen.add(data.address);
          const entry = { type: "io_ring_ctx", member: "sqd_list", limit: 65536 };
          const head = data.addressOf("ctx_list");
          for (const ctx of listForEachEntry(this.#program, head, entry)) {
            const other = this.#add(ctx, "sqpoll");
            if (owner !== undefined) other?.submitters.add(owner);
          }
        },
      );
    }
  }

  #ownerOf(data: KernelObject, byPid: ReadonlyMap<number, Process>): Process | undefined {
    const thread = data.tryDeref("thread");
    const pid = thread === undefined ? data.number("task_tgid") : thread.number("tgid");
    return byPid.get(pid);
  }

  #fdTable(process: Process, files: KernelObject): void {
    const table = files.deref("fdt");
    const count = table.number("max_fds");
    if (count > MAX_FDS) {
      this.#context.diagnostics.report(
        "fd_table_absurd",
        `process ${process.pid} claims to have ${count} file descriptors`,
        "its rings held by file descriptor",
      );
      return;
    }
    const array = table.pointer("fd");
    for (let first = 0; first < count; first += FDS_AT_ONCE) {
      const part = Math.min(FDS_AT_ONCE, count - first);
      const bytes = this.#program.memory.read(array + BigInt(first * 8), part * 8);
      const view = viewOf(bytes);
      for (let i = 0; i < part; i++) {
        const address = view.getBigUint64(i * 8, true);
        if (address === 0n) continue;
        const ring = this.#fileRing(address, "fd");
        if (ring !== undefined) this.#hold(ring, { process, fd: first + i });
        else if (this.#deep) this.#noteSocket(this.#program.object("file", address), [process]);
      }
    }
  }

  /** Keeps a file that is a socket, to look into it later. */
  #noteSocket(file: KernelObject, holders: Iterable<Process>): void {
    const sock = sockOf(file);
    if (sock === undefined) return;
    const known = this.#sockets.get(sock.address);
    if (known === undefined) this.#sockets.set(sock.address, { sock, holders: new Set(holders) });
    else for (const process of holders) known.holders.add(process);
  }

  #taskContext(process: Process, tctx: KernelObject): void {
    const hold = (ring: FoundRing | undefined) => {
      if (ring === undefined) return;
      ring.submitters.add(process);
      this.#holdWithoutFd(ring, process);
    };
    // Since Linux 5.12 (baf186c4d345) a node a ring, keyed by the ring; before, the ring's file.
    const hasNodes = this.#program.types.struct("io_tctx_node") !== undefined;
    for (const { value } of xaForEach(tctx.embedded("xa"))) {
      if (hasNodes) {
        const ctx = readable(() => this.#program.object("io_tctx_node", value).deref("ctx"));
        if (ctx !== undefined) hold(this.#add(ctx, "tctx"));
      } else {
        hold(this.#fileRing(value & ~3n, "tctx"));
      }
    }
    if (!tctx.has("registered_rings")) return;
    // An array since Linux 6.0 or so, allocated apart in 5.18 and 5.19 (e7a6c00dc77a).
    const inline = tctx.count("registered_rings") > 1;
    const count = inline ? tctx.count("registered_rings") : REGISTERED_RINGS;
    const array = inline ? tctx.addressOf("registered_rings") : tctx.pointer("registered_rings");
    if (array === 0n) return;
    for (let i = 0; i < count; i++) {
      const address = this.#program.memory.readPointer(array + BigInt(i * 8));
      if (address !== 0n) hold(this.#fileRing(address, "registered"));
    }
  }

  #mappings(process: Process, mm: KernelObject): void {
    for (const vma of vmasOf(mm)) {
      const address = vma.pointer("vm_file");
      if (address === 0n) continue;
      const ring = this.#fileRing(address, "vma");
      if (ring !== undefined) this.#holdWithoutFd(ring, process);
    }
  }

  /** The ring of a `struct file`, or undefined when it is another file. */
  #fileRing(address: bigint, route: FoundBy): FoundRing | undefined {
    const file = this.#program.object("file", address);
    const ctx = readable(() => this.#isRing(file) ? file.pointer("private_data") : 0n);
    if (ctx === undefined) {
      this.#context.diagnostics.report(
        "file_unreadable",
        `open file at 0x${address.toString(16)} cannot be read`,
        "a ring, if it is one",
      );
      return undefined;
    }
    if (ctx === 0n) return undefined;
    const ring = this.#add(this.#program.object("io_ring_ctx", ctx), route);
    if (ring !== undefined) ring.file ??= file;
    return ring;
  }

  /**
   * By its operations, or where no symbol names them (CONFIG_KALLSYMS_ALL=n), by what they do: the
   * kernel names its functions. Where that cannot be read, by the name of its dentry.
   */
  #isRing(file: KernelObject): boolean {
    const operations = file.pointer("f_op");
    if (this.#fops !== undefined) return operations === this.#fops;
    let known = this.#ringOperations.get(operations);
    if (known === undefined) {
      known = this.#areRingOperations(operations) ?? isNamedRing(file);
      this.#ringOperations.set(operations, known);
    }
    return known;
  }

  #areRingOperations(operations: bigint): boolean | undefined {
    const release = this.#program.symbols.lookup("io_uring_release");
    return release === undefined
      ? undefined
      : readable(() =>
        this.#program.object("file_operations", operations).pointer("release") === release
      );
  }

  /** The ring of a context; undefined where no allocation can lie, as in an image that was smeared. */
  #add(ctx: KernelObject, route: FoundBy): FoundRing | undefined {
    let ring = this.#rings.get(ctx.address);
    if (ring === undefined) {
      if (ctx.address % CONTEXT_ALIGN !== 0n || ctx.address >= KERNEL_IMAGE_START) {
        this.#context.diagnostics.report(
          "ring_pointer_absurd",
          `no ring can be at 0x${ctx.address.toString(16)}, where a task or a file leads to`,
          "a ring, if it is one",
        );
        return undefined;
      }
      ring = { ctx, foundBy: new Set(), holders: [], submitters: new Set(), file: undefined };
      this.#rings.set(ctx.address, ring);
    }
    ring.foundBy.add(route);
    return ring;
  }

  /** Notes that a process holds a ring, unless one of its descriptors already says so. */
  #holdWithoutFd(ring: FoundRing, process: Process): void {
    // All of a process comes before the next one.
    if (ring.holders.at(-1)?.process !== process) this.#hold(ring, { process, fd: -1 });
  }

  #hold(ring: FoundRing, holder: Holder): void {
    if (ring.holders.length < MAX_HOLDERS) {
      ring.holders.push(holder);
    } else if (!this.#crowded.has(ring)) {
      this.#crowded.add(ring);
      this.#context.diagnostics.report(
        "too_many_holders",
        `ring at 0x${ring.ctx.address.toString(16)} has more than ${MAX_HOLDERS} holders`,
        "all but the first of them",
      );
    }
  }

  #attempt({ pid }: Process, what: { code: string; hides: string }, read: () => void): void {
    this.#context.diagnostics.attempt({ ...what, action: `process ${pid}` }, read);
  }
}

const UNREADABLE_FD_TABLE = {
  code: "fd_table_unreadable",
  hides: "rings held by file descriptor",
};
const UNREADABLE_TASK = {
  code: "io_uring_task_unreadable",
  hides: "rings this thread submitted to",
};
const UNREADABLE_MAPPINGS = {
  code: "mappings_unreadable",
  hides: "rings held by a mapping alone",
};

function isNamedRing(file: KernelObject): boolean {
  const name = file.embedded("f_path").deref("dentry").string("d_name.name");
  return new TextDecoder().decode(name) === "[io_uring]";
}

/** `IO_RINGFD_REG_MAX`. */
const REGISTERED_RINGS = 16;
