import { listForEachEntry, listForEachEntryReverse } from "../kernel/lists.ts";
import type { KernelObject } from "../kernel/program.ts";
import { UNKNOWN_ID } from "../record/records.ts";
import type { ScanContext } from "./context.ts";
import { type Diagnostics, isUnreadable, readable } from "./diagnostics.ts";

/** A process: its group leader and all threads, the leader among them. */
export interface Process {
  readonly leader: KernelObject;
  readonly pid: number;
  /** Name of the leader, at most 15 bytes of anything. */
  readonly comm: Uint8Array;
  readonly threads: readonly KernelObject[];
}

/** `PID_MAX_LIMIT` on 64-bit: no list of tasks is longer. */
const MAX_TASKS = 4 * 1024 * 1024;
/** A task is much larger than this, so an image has no more of them than it has of these. */
const LEAST_TASK = 1024;

/**
 * All processes on the kernel's task list, `init_task` first. Where the list is broken, what can be
 * reached from its other end is added, and a diagnostic says so.
 */
export function listProcesses(context: ScanContext): Process[] {
  const { program, diagnostics } = context;
  const init = program.variable("init_task", "task_struct");
  if (init === undefined) {
    diagnostics.report("no_init_task", "the kernel has no symbol init_task", "all processes");
    return [];
  }
  const entry = { type: "task_struct", member: "tasks", limit: mostTasks(context) };
  const head = init.addressOf("tasks");
  const leaders = new Map<bigint, KernelObject>([[init.address, init]]);
  try {
    for (const task of listForEachEntry(program, head, entry)) leaders.set(task.address, task);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    const before = leaders.size;
    try {
      for (const task of listForEachEntryReverse(program, head, entry)) {
        if (leaders.has(task.address)) break;
        leaders.set(task.address, task);
      }
    } catch (other) {
      if (!isUnreadable(other)) throw other;
    }
    diagnostics.report(
      "task_list_broken",
      `task list ends after ${before} processes: ${error.message}; ` +
        `${leaders.size - before} more were found from its other end`,
      "processes between the two ends, and their rings",
    );
  }
  const processes: Process[] = [];
  const left = { threads: mostTasks(context) };
  for (const leader of leaders.values()) {
    if (program.memory.budget.isSpent) break;
    const process = diagnostics.attempt(
      {
        code: "task_unreadable",
        action: `task at 0x${leader.address.toString(16)}`,
        hides: "this process and its rings",
      },
      () => ({
        leader,
        pid: pidOf(leader, diagnostics),
        comm: leader.text("comm"),
        threads: listThreads(context, leader, left),
      }),
    );
    if (process !== undefined) processes.push(process);
  }
  return processes;
}

/** Tasks that this much memory can hold. */
function mostTasks({ program }: ScanContext): number {
  const { ranges } = program.memory.physical;
  const bytes = ranges.reduce((sum, { start, end }) => sum + (end - start), 0);
  return Math.min(MAX_TASKS, Math.ceil(bytes / LEAST_TASK));
}

/** The id of a process; {@linkcode UNKNOWN_ID} where it is none, and what is there is no task. */
function pidOf(leader: KernelObject, diagnostics: Diagnostics): number {
  const pid = leader.number("tgid");
  if (pid >= 0 && pid <= MAX_TASKS) return pid;
  diagnostics.report(
    "task_absurd",
    `task at 0x${leader.address.toString(16)} claims to be process ${pid}`,
    "the real process there, if there is one",
  );
  return UNKNOWN_ID;
}

/** All threads of a group, by `signal->thread_head` (since Linux 3.14, 0c740d0afc3b). */
function listThreads(
  context: ScanContext,
  leader: KernelObject,
  left: { threads: number },
): KernelObject[] {
  const { program, diagnostics } = context;
  const threads = [leader];
  const signal = leader.tryDeref("signal");
  // A task that is being released has no signal any more, and no other threads.
  if (signal === undefined) return threads;
  diagnostics.attempt(
    {
      code: "thread_list_broken",
      action: `threads of process ${readable(() => leader.number("tgid")) ?? "unknown"}`,
      hides: "threads of this process, and their rings",
    },
    () => {
      const head = signal.addressOf("thread_head");
      const entry = { type: "task_struct", member: "thread_node", limit: left.threads };
      for (const task of listForEachEntry(program, head, entry)) {
        if (task.address !== leader.address) threads.push(task);
        left.threads--;
      }
    },
  );
  return threads;
}

/**
 * The first thread that still has a resource (`mm`, `files`): a leader that has exited keeps none
 * while its threads go on.
 */
export function threadWith(process: Process, resource: "mm" | "files"): KernelObject | undefined {
  return process.threads.find((task) => readable(() => task.pointer(resource)) ?? 0n);
}
