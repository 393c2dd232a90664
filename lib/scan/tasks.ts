import { listForEachEntry, listForEachEntryReverse } from "../kernel/lists.ts";
import { findInitTask } from "../kernel/init_task.ts";
import { containerOf, type KernelObject } from "../kernel/program.ts";
import { xaForEach } from "../kernel/xarray.ts";
import { heldBytes } from "../memory/physical_memory.ts";
import { decodeText } from "../uapi/text.ts";
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
  /** Where it is missing and where it was found, in words; only where the kernel's lists differ. */
  readonly hidden?: string;
}

/** `PID_MAX_LIMIT` on 64-bit: no list of tasks is longer. */
const MAX_TASKS = 4 * 1024 * 1024;
/** A task is much larger than this, so an image has no more of them than it has of these. */
const LEAST_TASK = 1024;

/** `EXIT_DEAD` (`include/linux/sched.h`): a task that is being taken off all lists. */
const EXIT_DEAD = 0x10;

/**
 * All processes on the kernel's task list, `init_task` first, and those that only its table of pids
 * knows, or only `carved`, tasks that were found in memory itself. Where the list is broken, what
 * can be reached from its other end is added, and a diagnostic says so; one for each hidden task
 * says that, too.
 */
export function listProcesses(
  context: ScanContext,
  carved: readonly KernelObject[] = [],
): Process[] {
  const { program, diagnostics } = context;
  const init = findInitTask(program);
  if (init === undefined) {
    diagnostics.report("no_init_task", "the kernel's first task cannot be found", "all processes");
    return [];
  }
  const { leaders, broken } = listLeaders(context, init);
  const processes: Process[] = [];
  const left = { threads: mostTasks(context) };
  for (const leader of leaders.values()) {
    if (program.memory.budget.isSpent) break;
    const process = processOf(context, leader, left);
    if (process !== undefined) processes.push(process);
  }
  const known = new Set(processes.flatMap(({ threads }) => threads.map(({ address }) => address)));
  const elsewhere = [
    { tasks: [...tasksOfPids(processes, diagnostics)], where: "in the table of pids" },
    { tasks: carved, where: "in memory" },
  ];
  for (const { tasks, where } of elsewhere) {
    for (const task of tasks) {
      if (known.has(task.address) || !isAlive(task)) continue;
      const leader = readable(() => task.deref("group_leader"));
      const process = leader && processOf(context, leader, left);
      if (process === undefined) continue;
      // A broken list says nothing about who was taken off it.
      const hidden = broken ? undefined : hiddenMessage(task, process.pid, where);
      if (hidden !== undefined) context.diagnostics.remark("process_hidden", hidden);
      for (const { address } of process.threads) known.add(address);
      known.add(task.address);
      const threads = process.threads.some(({ address }) => address === task.address)
        ? process.threads
        : [...process.threads, task];
      processes.push({ ...process, threads, ...(hidden === undefined ? {} : { hidden }) });
    }
  }
  return processes;
}

function listLeaders(
  context: ScanContext,
  init: KernelObject,
): { leaders: Map<bigint, KernelObject>; broken: boolean } {
  const { program, diagnostics } = context;
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
    return { leaders, broken: true };
  }
  return { leaders, broken: false };
}

function processOf(
  context: ScanContext,
  leader: KernelObject,
  left: { threads: number },
): Process | undefined {
  return context.diagnostics.attempt(
    {
      code: "task_unreadable",
      action: `task at 0x${leader.address.toString(16)}`,
      hides: "this process and its rings",
    },
    () => ({
      leader,
      pid: pidOf(leader, context.diagnostics),
      comm: leader.text("comm"),
      threads: listThreads(context, leader, left),
    }),
  );
}

/**
 * Tasks of all pids, by the first namespace of pids (an idr since Linux 4.15, 95846ecf9dac), to which
 * every process's own pid leads.
 */
function* tasksOfPids(
  processes: readonly Process[],
  diagnostics: Diagnostics,
): Generator<KernelObject> {
  const leader = processes.find(({ pid }) => pid > 0)?.leader;
  if (leader === undefined) return;
  const { program } = leader;
  const what = {
    code: "pid_table_unreadable",
    action: "table of pids",
    hides: "processes that are on no list of tasks",
  };
  const pids = diagnostics.attempt(what, () => {
    const numbers = leader.derefAs("thread_pid", "pid")?.addressOf("numbers") ?? 0n;
    const namespace = program.object("upid", numbers).derefAs("ns", "pid_namespace");
    return namespace?.embedded("idr.idr_rt");
  });
  if (pids === undefined) return;
  try {
    for (const { value } of xaForEach(pids)) {
      const task = diagnostics.attempt(what, () => taskOfPid(program.object("pid", value)));
      if (task !== undefined) yield task;
    }
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    diagnostics.report(what.code, `${what.action}: ${error.message}`, what.hides);
  }
}

/** The one task that has a `struct pid` as its own: `tasks[PIDTYPE_PID]`; undefined if none has. */
export function taskOfPid(pid: KernelObject): KernelObject | undefined {
  const { program } = pid;
  const node = program.memory.readPointer(pid.addressOf("tasks"));
  if (node === 0n) return undefined;
  return containerOf(program, node, { type: "task_struct", member: "pid_links" });
}

/** Whether a task is one that the kernel's lists must have. */
function isAlive(task: KernelObject): boolean {
  return readable(() =>
    task.number("pid") > 0 && (task.number("exit_state") & EXIT_DEAD) === 0 &&
    task.pointer("signal") !== 0n
  ) ?? false;
}

/** What is to be said of a task that its list lacks. */
function hiddenMessage(task: KernelObject, pid: number, where: string): string | undefined {
  return readable(() => {
    const id = task.number("pid");
    const name = JSON.stringify(decodeText(task.text("comm")).text);
    const what = id === pid
      ? `process ${id} ${name} is not on the task list`
      : `thread ${id} ${name} is not on the list of threads of process ${pid}`;
    return `${what}, but ${where}`;
  });
}

/** Tasks that this much memory can hold. */
function mostTasks({ program }: ScanContext): number {
  return Math.min(MAX_TASKS, Math.ceil(heldBytes(program.memory.physical) / LEAST_TASK));
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

/** Processes by the address of their memory (`struct mm_struct`), the first where they share it. */
export function processesByMemory(processes: readonly Process[]): ReadonlyMap<bigint, Process> {
  const found = new Map<bigint, Process>();
  for (const process of processes) {
    const task = threadWith(process, "mm");
    const mm = task && readable(() => task.pointer("mm"));
    if (mm !== undefined && mm !== 0n && !found.has(mm)) found.set(mm, process);
  }
  return found;
}
