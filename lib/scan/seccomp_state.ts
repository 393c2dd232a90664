import type { KernelObject, Program } from "../kernel/program.ts";
import type { SeccompBlock } from "../record/records.ts";
import { possibleActions, type Verdict, verdictOf } from "../uapi/seccomp_filter.ts";
import { IO_URING_ENTER, IO_URING_SETUP, REPLACED_CALLS } from "../uapi/syscalls.ts";
import { readable } from "./diagnostics.ts";
import type { Process } from "./tasks.ts";

/** Filters in a chain; the kernel bounds their instructions (`MAX_INSNS_PER_PATH`), not them. */
const MAX_FILTERS = 32768;
const MODE_STRICT = 1;
const MODE_FILTER = 2;
/** What mode 1 leaves: `mode1_syscalls` of `kernel/seccomp.c`. */
const STRICT_CALLS: ReadonlySet<number> = new Set([0, 1, 15, 60]);
const SOCK_FILTER_SIZE = 8;
const MAX_INSTRUCTIONS = 4096;

/** The seccomp state of a process's thread. */
export interface SeccompState {
  readonly task: KernelObject;
  readonly mode: number;
  readonly filters: number;
}

/**
 * The strongest seccomp state among the threads of some processes (`struct seccomp` of
 * `task_struct`): SQPOLL and worker threads may lag behind what their process installed later.
 * Undefined where none could be read.
 */
export function strongestSeccomp(processes: Iterable<Process>): SeccompState | undefined {
  let strongest: SeccompState | undefined;
  for (const process of processes) {
    for (const task of process.threads) {
      const state = readable(() => ({
        task,
        mode: task.has("seccomp.mode") ? task.number("seccomp.mode") : 0,
        filters: filterCount(task),
      }));
      if (state === undefined) continue;
      if (
        strongest === undefined || state.mode > strongest.mode ||
        (state.mode === strongest.mode && state.filters > strongest.filters)
      ) strongest = state;
    }
  }
  return strongest;
}

/**
 * What a seccomp state means: which system calls it denies that have an equivalent in io_uring, and
 * by which opcodes of this kernel they can be made all the same. What could not be decided is left
 * out.
 */
export function seccompBlock(
  { task, mode, filters }: SeccompState,
  opcodeNames: ReadonlyMap<number, string>,
): SeccompBlock {
  const block: SeccompBlock = { mode, filters };
  const verdict = readable(() => verdictsOf(task, mode));
  if (verdict === undefined) return block;
  const denied = REPLACED_CALLS.filter(({ number }) => verdict(number) === "deny");
  const restricted = REPLACED_CALLS.filter(({ number }) => verdict(number) === "depends");
  const names = new Set([...denied, ...restricted].flatMap(({ opcodes }) => opcodes));
  const known = REPLACED_CALLS.every(({ number }) => verdict(number) !== undefined);
  if (known || denied.length > 0) block.denies = denied.map(({ name }) => name);
  if (restricted.length > 0) block.denies_some = restricted.map(({ name }) => name);
  const setup = verdict(IO_URING_SETUP);
  const enter = verdict(IO_URING_ENTER);
  if (setup !== undefined && enter !== undefined) {
    block.allows_io_uring = setup !== "deny" && enter !== "deny";
  }
  if (block.denies !== undefined) {
    block.bypassed_by = [...opcodeNames.values()].filter((name) =>
      names.has(name.replace(/^IORING_OP_/, ""))
    );
  }
  return block;
}

/** What happens to a system call; undefined where that cannot be told. */
type Verdicts = (syscall: number) => Verdict | undefined;

function verdictsOf(task: KernelObject, mode: number): Verdicts | undefined {
  if (mode === MODE_STRICT) return (syscall) => STRICT_CALLS.has(syscall) ? "allow" : "deny";
  if (mode !== MODE_FILTER) return undefined;
  const filter = task.tryDeref("seccomp.filter");
  return filter && chainVerdicts(filter);
}

/** Chains that were interpreted, by the address of their last filter. */
const CHAINS = new WeakMap<Program, Map<bigint, Verdicts>>();

function chainVerdicts(last: KernelObject): Verdicts {
  let chains = CHAINS.get(last.program);
  if (chains === undefined) CHAINS.set(last.program, chains = new Map());
  let verdicts = chains.get(last.address);
  if (verdicts === undefined) {
    const programs = [...chainOf(last)].map((filter) => readable(() => savedProgram(filter)));
    const known = new Map<number, Verdict | undefined>();
    verdicts = (syscall) => {
      if (!known.has(syscall)) {
        known.set(
          syscall,
          // Calls that the whole chain always allows (since Linux 5.11, f9d480b6ffbe).
          isAlwaysAllowed(last, syscall)
            ? "allow"
            : verdictOf(programs.map((code) => code && possibleActions(code, syscall))),
        );
      }
      return known.get(syscall);
    };
    chains.set(last.address, verdicts);
  }
  return verdicts;
}

function* chainOf(last: KernelObject): Generator<KernelObject> {
  const seen = new Set<bigint>();
  let filter: KernelObject | undefined = last;
  while (filter !== undefined && !seen.has(filter.address) && seen.size < MAX_FILTERS) {
    seen.add(filter.address);
    yield filter;
    const current: KernelObject = filter;
    filter = readable(() => current.tryDeref("prev"));
  }
}

/**
 * The classic BPF that a filter was installed with; kept with CONFIG_CHECKPOINT_RESTORE, and since
 * Linux 5.11 with SECCOMP_ARCH_NATIVE.
 */
function savedProgram(filter: KernelObject): Uint8Array | undefined {
  const saved = filter.deref("prog").tryDeref("orig_prog");
  if (saved === undefined) return undefined;
  const count = saved.number("len");
  if (count > MAX_INSTRUCTIONS) return undefined;
  return filter.program.memory.read(saved.pointer("filter"), count * SOCK_FILTER_SIZE);
}

/** A bit of `cache.allow_native`. */
function isAlwaysAllowed(filter: KernelObject, syscall: number): boolean {
  if (!filter.has("cache.allow_native")) return false;
  const bits = readable(() => filter.bytes("cache.allow_native"));
  return ((bits?.[syscall >>> 3] ?? 0) >> (syscall & 7) & 1) === 1;
}

/** `filter_count` since Linux 5.11 (c818c03b661c); before, the length of the chain. */
function filterCount(task: KernelObject): number {
  if (task.has("seccomp.filter_count")) return task.number("seccomp.filter_count.counter");
  const filter = task.has("seccomp.filter") ? task.tryDeref("seccomp.filter") : undefined;
  return filter === undefined ? 0 : [...chainOf(filter)].length;
}
