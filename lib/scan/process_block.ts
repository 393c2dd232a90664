import { listForEachEntry } from "../kernel/lists.ts";
import type { KernelObject, Program } from "../kernel/program.ts";
import { type ProcessBlock, UNKNOWN_ID } from "../record/records.ts";
import { argumentsText } from "../uapi/arguments_text.ts";
import { viewOf } from "../uapi/bytes.ts";
import { capabilityText } from "../uapi/capabilities.ts";
import { containerId } from "../uapi/container_id.ts";
import { FLAG_SEPARATOR } from "../uapi/flags.ts";
import { baseName, joinNames } from "../uapi/path_bytes.ts";
import { decodeText, putText } from "../uapi/text.ts";
import type { ScanContext } from "./context.ts";
import { readable } from "./diagnostics.ts";
import { type PathName, pathOf, pathOfFile } from "./file_paths.ts";
import { UserMemory } from "./user_memory.ts";

/** A process, and what is to be said of how well it was read. */
export interface ReadProcess {
  readonly process: ProcessBlock;
  /** Paths of model keys that could not be read, or in part only: `process.args`. */
  readonly missing: string[];
  /** Paths of values that came from user memory. */
  readonly unverified: string[];
}

/** `PF_KTHREAD` of `include/linux/sched.h`. */
const PF_KTHREAD = 0x200000;
/** `AT_NULL` and `AT_SECURE` of `include/uapi/linux/auxvec.h`. */
const AT_NULL = 0n;
const AT_SECURE = 23n;
const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const S_IXGRP = 0o10;
/** Controllers whose hierarchy places a process on a cgroup v1 host. */
const V1_CONTROLLERS = ["pids", "memory"] as const;
/** Cgroups are nested some ten deep; `cgroup.max.depth` has no bound of its own. */
const MAX_CGROUP_DEPTH = 512;
/** NAME_MAX, which cgroup names keep to. */
const MAX_CGROUP_NAME = 255;
/** Threads looked at for one that still has memory. */
const MAX_THREADS = 65_536;

const MEMFD = new TextEncoder().encode("/memfd:");

/**
 * The process of a group leader (`struct task_struct`) as records have it. What could not be read
 * is empty and named in `missing`; what could be read in part is there and named too; keys beyond
 * the model's are left out. A kernel thread has no executable and no arguments, and nothing is
 * missing of it. Never throws.
 */
export function readProcess(leader: KernelObject, context: ScanContext): ReadProcess {
  const missing: string[] = [];
  const unverified: string[] = [];
  /** The value, or its stand-in with a note that it is missing. */
  const orMissing = <T>(key: string, standIn: T, read: () => T | undefined): T => {
    const value = readable(read);
    if (value === undefined) missing.push(`process.${key}`);
    return value ?? standIn;
  };
  const id = (key: string, read: () => number) =>
    orMissing(key, UNKNOWN_ID, () => {
      const value = read();
      // Signed in the kernel, and never below 0 there.
      return value >= 0 ? value : undefined;
    });
  const capabilities = (key: string) =>
    orMissing(key, "", () => capabilityText(readCapabilities(leader.deref("cred"), key)));

  const startNs = readable(() => startOf(leader));
  const running = runningTask(leader);
  const cgroup = readCgroup(leader);

  // Assigned in the order of the record's keys.
  const process = {} as ProcessBlock;
  process.start_time = orMissing(
    "start_time",
    "",
    () => startNs === undefined ? undefined : context.clock.dateOfBootNs(startNs),
  );
  process.pid = id("pid", () => leader.number("tgid"));
  process.tid = id("tid", () => leader.number("tgid"));
  process.ppid = id("ppid", () => leader.deref("real_parent").number("tgid"));
  process.uid = id("uid", () => leader.deref("cred").number("uid.val"));
  process.euid = id("euid", () => leader.deref("cred").number("euid.val"));
  process.auid = id("auid", () => leader.number("loginuid.val"));
  process.cap_inheritable = capabilities("cap_inheritable");
  process.cap_permitted = capabilities("cap_permitted");
  process.cap_effective = capabilities("cap_effective");
  const executable = readExecutable(running);
  process.secureexec = orMissing("secureexec", "", () => executable.secureexec);
  const { path } = executable;
  if (!path.complete) missing.push("process.filename", "process.binary_path");
  putText(process, "filename", baseName(path.bytes));
  putText(process, "binary_path", path.bytes);
  const args = readArguments(running);
  if (!args.complete) missing.push("process.args");
  if (args.bytes.length > 0) unverified.push("process.args");
  putText(process, "args", args.bytes);
  process.container_id = orMissing("container_id", "", () => cgroup && containerId(cgroup.text));

  if (path.deleted) process.binary_deleted = true;
  putKnown(process, "gid", () => leader.deref("cred").number("gid.val"));
  putKnown(process, "egid", () => leader.deref("cred").number("egid.val"));
  const comm = readable(() => leader.text("comm"));
  if (comm !== undefined) putText(process, "comm", comm);
  if (cgroup !== undefined) putText(process, "cgroup", cgroup.bytes);
  putKnown(process, "exec_id", () => {
    if (startNs === undefined) return undefined;
    return `${leader.number("tgid")}:${startNs}:${leader.bigint("self_exec_id")}`;
  });
  const cwd = readable(() => running.task.deref("fs").embedded("pwd"));
  const cwdPath = cwd && pathOf(leader.program, cwd);
  if (cwdPath?.complete) putText(process, "cwd", cwdPath.bytes);
  if (process.start_time === "" && startNs !== undefined) {
    process.start_ns = `0x${startNs.toString(16)}`;
  }
  return { process, missing, unverified };
}

/** The task of a process that stands for its memory and directories. */
interface RunningTask {
  readonly task: KernelObject;
  readonly mm: KernelObject | undefined;
  readonly kernelThread: boolean;
}

/**
 * The leader, or where it has exited before its threads, the first of these that has memory still.
 */
function runningTask(leader: KernelObject): RunningTask {
  const kernelThread = readable(() => (leader.number("flags") & PF_KTHREAD) !== 0) ?? false;
  if (kernelThread) return { task: leader, mm: undefined, kernelThread };
  const mm = readable(() => leader.tryDeref("mm"));
  if (mm !== undefined) return { task: leader, mm, kernelThread };
  const found = readable(() => {
    const head = leader.deref("signal").addressOf("thread_head");
    const entry = { type: "task_struct", member: "thread_node", limit: MAX_THREADS };
    for (const task of listForEachEntry(leader.program, head, entry)) {
      const mm = task.tryDeref("mm");
      if (mm !== undefined) return { task, mm, kernelThread };
    }
    return undefined;
  });
  return found ?? { task: leader, mm: undefined, kernelThread };
}

/** CLOCK_BOOTTIME at the start, ns: this name since Linux 5.5, `real_start_time` before. */
function startOf(task: KernelObject): bigint {
  return task.bigint(task.has("start_boottime") ? "start_boottime" : "real_start_time");
}

/**
 * A `kernel_cap_t`: two `u32`, the lower first, and since Linux 6.3 one `u64`. The bytes are the
 * same.
 */
function readCapabilities(cred: KernelObject, member: string): bigint {
  return cred.program.memory.readPointer(cred.addressOf(member));
}

interface Executable {
  readonly path: PathName;
  /** Undefined where it cannot be read. */
  readonly secureexec: string | undefined;
}

const NO_PATH: PathName = {
  bytes: new Uint8Array(),
  deleted: false,
  complete: false,
  pseudo: false,
};

/** The file that a process runs, and what its execution gave it. */
function readExecutable({ mm, kernelThread }: RunningTask): Executable {
  if (kernelThread) return { path: { ...NO_PATH, complete: true }, secureexec: "" };
  const file = mm && readable(() => mm.tryDeref("exe_file"));
  if (mm === undefined || file === undefined) return { path: NO_PATH, secureexec: undefined };
  const path = pathOfFile(file);
  return { path, secureexec: readable(() => secureExec(mm, file, path)) };
}

/**
 * `SETUID`, `SETGID`, `FILE_CAPS`: why the kernel told the program to distrust its environment,
 * taken from the executable's mode, as the kernel does not keep it. `FILELESS_EXEC` for a memfd.
 */
function secureExec(mm: KernelObject, file: KernelObject, path: PathName): string {
  const kinds: string[] = [];
  if (isSecure(mm)) {
    const mode = file.deref("f_inode").number("i_mode");
    if ((mode & S_ISUID) !== 0) kinds.push("SETUID");
    // Without the group's execute bit it means mandatory locking (`bprm_fill_uid()`).
    if ((mode & S_ISGID) !== 0 && (mode & S_IXGRP) !== 0) kinds.push("SETGID");
    if (kinds.length === 0) kinds.push("FILE_CAPS");
  }
  const isMemfd = path.pseudo && MEMFD.every((byte, index) => path.bytes[index] === byte);
  if (isMemfd) kinds.push("FILELESS_EXEC");
  return kinds.join(FLAG_SEPARATOR);
}

/** `AT_SECURE` of the auxiliary vector that the kernel keeps (`create_elf_tables()`). */
function isSecure(mm: KernelObject): boolean {
  const bytes = mm.bytes("saved_auxv");
  const view = viewOf(bytes);
  for (let at = 0; at + 16 <= bytes.byteLength; at += 16) {
    const key = view.getBigUint64(at, true);
    if (key === AT_NULL) break;
    if (key === AT_SECURE) return view.getBigUint64(at + 8, true) !== 0n;
  }
  return false;
}

/** The arguments after argv[0], separated by spaces. */
function readArguments({ mm, kernelThread }: RunningTask): {
  readonly bytes: Uint8Array;
  readonly complete: boolean;
} {
  const nothing = new Uint8Array();
  if (kernelThread) return { bytes: nothing, complete: true };
  if (mm === undefined) return { bytes: nothing, complete: false };
  const { bytes, complete } = new UserMemory(mm).cmdline();
  return { bytes: argumentsText(bytes), complete };
}

interface CgroupPath {
  readonly bytes: Uint8Array;
  readonly text: string;
}

/**
 * The cgroup of a task. On the default hierarchy (cgroup v2) unless that leaves the task at its
 * root, as on hosts with cgroup v1: then by the first controller that places it. A path that names
 * a container goes before one that does not.
 */
function readCgroup(task: KernelObject): CgroupPath | undefined {
  const paths: CgroupPath[] = [];
  for (const cgroup of cgroupsOf(task)) {
    const bytes = readable(() => kernfsPath(cgroup.deref("kn")));
    if (bytes === undefined) continue;
    const path = { bytes, text: decodeText(bytes).text };
    if (containerId(path.text) !== "") return path;
    paths.push(path);
  }
  return paths.find(({ text }) => text !== "/") ?? paths[0];
}

/** `css_set.dfl_cgrp`, then the cgroups of the v1 controllers. */
function* cgroupsOf(task: KernelObject): Generator<KernelObject> {
  const set = readable(() => task.deref("cgroups"));
  if (set === undefined) return;
  const unified = readable(() => set.deref("dfl_cgrp"));
  if (unified !== undefined) yield unified;
  for (const index of controllersOf(set.program)) {
    const cgroup = readable(() => {
      if (index >= set.count("subsys")) return undefined;
      const slot = set.addressOf("subsys") + 8n * BigInt(index);
      const state = set.program.memory.readPointer(slot);
      return set.program.object("cgroup_subsys_state", state).deref("cgroup");
    });
    // A controller that is on the default hierarchy says nothing new.
    if (cgroup !== undefined && cgroup.address !== unified?.address) yield cgroup;
  }
}

const controllers = new WeakMap<Program, readonly number[]>();

/** Where `css_set.subsys` has the controllers that are asked for, as this kernel numbers them. */
function controllersOf(program: Program): readonly number[] {
  let indexes = controllers.get(program);
  if (indexes === undefined) {
    indexes = V1_CONTROLLERS.flatMap((name) =>
      program.types.enumWith(`${name}_cgrp_id`)?.get(`${name}_cgrp_id`) ?? []
    ).filter((index) => index >= 0);
    controllers.set(program, indexes);
  }
  return indexes;
}

/** The path of a `struct kernfs_node` below its hierarchy's root: `kernfs_path()`. */
function kernfsPath(node: KernelObject): Uint8Array | undefined {
  // Its name changed when it came under RCU, in Linux 6.15.
  const parentMember = node.has("__parent") ? "__parent" : "parent";
  const names: Uint8Array[] = [];
  for (let depth = 0; depth < MAX_CGROUP_DEPTH; depth++) {
    const parent = node.tryDeref(parentMember);
    if (parent === undefined) return joinNames(names);
    names.push(node.string("name").subarray(0, MAX_CGROUP_NAME));
    node = parent;
  }
  // Deeper than any, or a loop.
  return undefined;
}

/** A key of our own: left out when unknown. */
function putKnown<K extends "gid" | "egid" | "exec_id">(
  process: ProcessBlock,
  key: K,
  read: () => ProcessBlock[K] | undefined,
): void {
  const value = readable(read);
  if (value !== undefined) process[key] = value;
}
