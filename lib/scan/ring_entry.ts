import type { KernelObject } from "../kernel/program.ts";
import type { IOUringEntry, RingOwner, RingRequest } from "../record/records.ts";
import { type ArgumentReader, NO_MEMORY } from "../uapi/argument.ts";
import { hexText } from "../uapi/numbers.ts";
import { opcodeName } from "../uapi/opcodes.ts";
import { setupFlagNames } from "../uapi/ring_flags.ts";
import { classifyIoUring } from "../uapi/seccomp_bypass.ts";
import { putText } from "../uapi/text.ts";
import { dateOfSeconds } from "./clock.ts";
import { ofClosedFiles } from "./closed_files.ts";
import type { ScanContext } from "./context.ts";
import { readable } from "./diagnostics.ts";
import { fileOfFd } from "./file_target.ts";
import { foundByOf, type FoundRing, processesOf } from "./find_rings.ts";
import { fixedFile } from "./fixed_files.ts";
import { type HeldRequest, readHeldRequests, readRecycledRequests } from "./kernel_requests.ts";
import { taskOf } from "./command_reader.ts";
import { readProcess } from "./process_block.ts";
import { readFreedRing } from "./remnants.ts";
import { requestRecord, type RequestSurroundings } from "./request_record.ts";
import { putRegistered } from "./ring_context.ts";
import { RingNotes } from "./ring_notes.ts";
import { type JoinedRequest, joinRequests } from "./ring_requests.ts";
import { readRingState, type RingState } from "./ring_state.ts";
import { noteScrubbing } from "./scrubbing.ts";
import { seccompBlock, strongestSeccomp } from "./seccomp_state.ts";
import { type Process, threadWith } from "./tasks.ts";
import { UserMemory } from "./user_memory.ts";

/** What the entry of one ring is made from. */
export interface RingSource {
  readonly ring: FoundRing;
  /** Requests of the ring that tasks hold. */
  readonly taskRequests: readonly HeldRequest[];
  /** Requests of a freed ring that are left in memory. */
  readonly carvedRequests: readonly KernelObject[];
  /** Opcode names of the imaged kernel. */
  readonly opcodeNames: ReadonlyMap<number, string>;
  /** Pids of the processes that an SQPOLL thread serves, by the address of its `sq_data`. */
  readonly served: ReadonlyMap<bigint, readonly number[]>;
  /** Processes by the address of their memory. */
  readonly bySpace: ReadonlyMap<bigint, Process>;
}

/**
 * Characters of all arguments of one ring. A process can fill its ring with requests that all name
 * the same long path, which would make a line too long for anyone to read.
 */
const MAX_ARGUMENTS = 32 * 1024 * 1024;

/** What putting a request into words costs of a {@linkcode ReadBudget}. */
const UNITS_PER_REQUEST = 16;

/** The record of one ring. Never throws on bad memory: what could not be read is in the record. */
export function ringEntry(source: RingSource, context: ScanContext): IOUringEntry {
  const { ring } = source;
  const { ctx } = ring;
  const notes = new RingNotes();
  const submitter = submitterOf(ring);
  const freed = ring.freed !== undefined;
  const state = readable(() =>
    freed ? readFreedRing(ring, source.carvedRequests, notes) : readRingState(ctx, notes)
  );
  if (state === undefined) {
    notes.report("ring_unreadable", "struct io_ring_ctx cannot be read", "everything of this ring");
  }
  const requests = requestsOf(source, { state, submitter, notes });
  const process = submitter && readProcess(submitter.leader, context);
  const seccomp = strongestSeccomp(processesOf(ring));
  const opcodes = requests.all.flatMap(({ opcode }) => opcode === undefined ? [] : [opcode]);

  const entry: IOUringEntry = {
    type: "IOUringEntry",
    pid: submitter?.pid ?? 0,
    ...commOf(submitter),
    ctx_addr: hexText(ctx.address),
    sq_entries: state?.sqEntries ?? 0,
    cq_entries: state?.cqEntries ?? 0,
    pending_opcodes: state?.pending.map(({ sqe }) => sqe.opcode) ?? [],
    bypasses_seccomp: classifyIoUring(opcodes, seccomp?.mode ?? 0),
    seccomp_active: (seccomp?.mode ?? 0) !== 0,
  };
  if (state === undefined) notes.missing.push("sq_entries", "cq_entries", "pending_opcodes");
  if (seccomp === undefined) notes.missing.push("bypasses_seccomp", "seccomp_active");
  if (process !== undefined) {
    entry.process = process.process;
    notes.missing.push(...process.missing);
    notes.unverified.push(...process.unverified);
  }
  const flags = readable(() => ctx.number("flags"));
  if (flags !== undefined) entry.setup_flags = setupFlagNames(flags >>> 0);
  putCreation(entry, ring);
  // `mm_account`: the memory of the process that made it.
  const maker = freed ? undefined : readable(() => source.bySpace.get(ctx.pointer("mm_account")));
  if (maker !== undefined) entry.creator_pid = maker.pid;
  entry.owners = ownersOf(ring);
  entry.found_by = foundByOf(ring);
  entry.confidence = freed ? "medium" : String(entry.found_by) === "carved" ? "high" : "certain";
  if (state !== undefined) putHeads(entry, state);
  const thread = freed ? undefined : sqThread(ctx, source.served);
  if (thread !== undefined) entry.sq_thread = thread;
  entry.pending = requests.pending;
  entry.in_flight = requests.inFlight;
  entry.history = requests.history;
  if (seccomp !== undefined) entry.seccomp = seccompBlock(seccomp, source.opcodeNames);
  if (!freed) {
    const opcodeOf = (opcode: number) => source.opcodeNames.get(opcode) ?? opcodeName(opcode);
    putRegistered(entry, ctx, { opcodeOf, notes });
  }
  for (const { hidden } of processesOf(ring)) {
    if (hidden !== undefined) notes.remark("process_hidden", hidden);
  }
  const { diagnostics } = notes;
  if (diagnostics.length > 0) entry.diagnostics = diagnostics;
  if (notes.missing.length > 0) entry.missing = notes.missing;
  if (notes.unverified.length > 0) entry.unverified = notes.unverified;
  if (notes.damaged) {
    context.diagnostics.report(
      "ring_incomplete",
      `ring at ${entry.ctx_addr} could not be read in full`,
      "parts of its entry, which says which",
    );
  }
  return entry;
}

/** The process that submits, the lowest pid if several do; else the lowest that holds the ring. */
function submitterOf(ring: FoundRing): Process | undefined {
  const lowest = (processes: readonly Process[]) =>
    processes.reduce<Process | undefined>(
      (best, process) => best === undefined || process.pid < best.pid ? process : best,
      undefined,
    );
  return lowest([...ring.submitters]) ?? lowest(ring.holders.map((holder) => holder.process));
}

function commOf(process: Process | undefined): { comm: string } {
  const target: { comm: string } = { comm: "" };
  if (process !== undefined) putText(target, "comm", process.comm);
  return target;
}

/** When the ring was made and by whom: its inode's change time, and its file's credentials. */
function putCreation(entry: IOUringEntry, ring: FoundRing): void {
  const { file } = ring;
  if (file === undefined) return;
  const { program } = file;
  const created = readable(() => {
    const inode = file.deref("f_inode");
    // Through Linux 5.15 all anonymous files share one inode, whose time is not the ring's.
    const shared = program.symbols.lookup("anon_inode_inode");
    if (shared !== undefined && program.memory.readPointer(shared) === inode.address) return;
    // It is hidden from security modules; an inode of a ring's own is not.
    if ((inode.number("i_flags") & S_PRIVATE) !== 0) return;
    for (const [seconds, nanoseconds] of INODE_TIMES) {
      if (inode.has(seconds)) {
        return dateOfSeconds(inode.bigint(seconds), inode.number(nanoseconds));
      }
    }
  });
  if (created !== undefined) entry.created_at = created;
  const uid = readable(() => file.deref("f_cred").number("uid.val"));
  if (uid !== undefined) entry.creator_uid = uid;
}

/** `include/linux/fs.h` */
const S_PRIVATE = 1 << 9;

/** Newest first: split in Linux 6.11 (3aa63a569c64), renamed in 6.6 (13bc24457850). */
const INODE_TIMES = [
  ["i_ctime_sec", "i_ctime_nsec"],
  ["__i_ctime.tv_sec", "__i_ctime.tv_nsec"],
  ["i_ctime.tv_sec", "i_ctime.tv_nsec"],
] as const;

/** Holders by pid and fd; a process without a descriptor of the ring has fd -1. */
function ownersOf(ring: FoundRing): RingOwner[] {
  const withFd = new Set(ring.holders.filter(({ fd }) => fd >= 0).map(({ process }) => process));
  const unique = new Map<string, { process: Process; fd: number }>();
  for (const holder of ring.holders) {
    if (holder.fd < 0 && withFd.has(holder.process)) continue;
    unique.set(`${holder.process.pid} ${holder.fd}`, holder);
  }
  return [...unique.values()]
    .sort((a, b) => a.process.pid - b.process.pid || a.fd - b.fd)
    .map(({ process, fd }) => ({ pid: process.pid, ...commOf(process), fd }));
}

function putHeads(entry: IOUringEntry, state: RingState): void {
  if (state.sqHead !== undefined) entry.sq_head = state.sqHead;
  if (state.sqTail !== undefined) entry.sq_tail = state.sqTail;
  if (state.cqHead !== undefined) entry.cq_head = state.cqHead;
  if (state.cqTail !== undefined) entry.cq_tail = state.cqTail;
  if (state.dropped !== undefined) entry.dropped = state.dropped;
  if (state.overflow !== undefined) entry.overflow = state.overflow;
}

function sqThread(
  ctx: KernelObject,
  served: RingSource["served"],
): IOUringEntry["sq_thread"] | undefined {
  return readable(() => {
    const data = ctx.tryDeref("sq_data");
    const thread = data?.tryDeref("thread");
    if (data === undefined || thread === undefined) return undefined;
    return {
      pid: thread.number("tgid"),
      tid: thread.number("pid"),
      cpu: data.number("sq_cpu"),
      serves: [...served.get(data.address) ?? []],
    };
  });
}

interface Requests {
  readonly all: readonly JoinedRequest[];
  readonly pending: RingRequest[];
  readonly inFlight: RingRequest[];
  readonly history: RingRequest[];
}

function requestsOf(
  { ring, taskRequests, carvedRequests, opcodeNames }: RingSource,
  { state, submitter, notes }: {
    state: RingState | undefined;
    submitter: Process | undefined;
    notes: RingNotes;
  },
): Requests {
  if (state === undefined) return { all: [], pending: [], inFlight: [], history: [] };
  const { ctx } = ring;
  const freed = ring.freed !== undefined;
  const held = freed ? [] : readHeldRequests(ctx, taskRequests, notes);
  const joined = joinRequests(
    state,
    held,
    freed ? carvedRequests : readRecycledRequests(ctx, { most: state.taken - held.length, notes }),
  );
  if (!freed) noteScrubbing(ctx, state, joined, notes);
  const memories = new Map<bigint, ArgumentReader>();
  const memoryOfTask = (task: KernelObject | undefined): ArgumentReader => {
    const mm = task && readable(() => task.tryDeref("mm"));
    if (mm === undefined) return NO_MEMORY;
    const memory = memories.get(mm.address) ?? new UserMemory(mm);
    memories.set(mm.address, memory);
    return memory;
  };
  const closed = ofClosedFiles(joined.history);
  const around: RequestSurroundings = {
    opcodeName: (opcode) => opcodeNames.get(opcode) ?? opcodeName(opcode),
    memoryOf: ({ kiocb, state }) => {
      const task = kiocb !== undefined && state !== undefined
        ? readable(() => taskOf(kiocb))
        : undefined;
      return memoryOfTask(task ?? (submitter && threadWith(submitter, "mm")));
    },
    fileOf: (request, { fd, fixed }) =>
      readable(() => {
        if (closed.has(request)) return undefined;
        if (fixed) return fixedFile(ctx, fd);
        const task = submitter && threadWith(submitter, "files");
        return task && fileOfFd(task, fd);
      }),
    compat: readable(() => ctx.has("compat") && ctx.number("compat") !== 0) ?? false,
    notes,
  };
  let left = MAX_ARGUMENTS;
  const records = (name: string, requests: readonly JoinedRequest[]) =>
    requests.map((request, i) => {
      ctx.program.memory.budget.spend(UNITS_PER_REQUEST);
      const record = requestRecord(request, `${name}.${i}`, around);
      left -= JSON.stringify(record.op_info ?? "").length;
      if (left < 0) delete record.op_info;
      return record;
    });
  const requests = {
    all: [...joined.pending, ...joined.inFlight, ...joined.history],
    pending: records("pending", joined.pending),
    inFlight: records("in_flight", joined.inFlight),
    history: records("history", joined.history),
  };
  if (left < 0) {
    notes.report(
      "arguments_cut",
      `the arguments of its requests take more than ${MAX_ARGUMENTS} characters`,
      "arguments of all requests after that",
    );
  }
  return requests;
}
