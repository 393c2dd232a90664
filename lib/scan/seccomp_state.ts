import type { KernelObject } from "../kernel/program.ts";
import type { SeccompBlock } from "../record/records.ts";
import { readable } from "./diagnostics.ts";
import type { Process } from "./tasks.ts";

/** Filters in a chain; the kernel bounds their instructions, not their number. */
const MAX_FILTERS = 65536;

/**
 * The strongest seccomp state among the threads of some processes (`struct seccomp` of
 * `task_struct`): SQPOLL and worker threads may lag behind what their process installed later.
 * Undefined where none could be read.
 */
export function strongestSeccomp(processes: Iterable<Process>): SeccompBlock | undefined {
  let strongest: SeccompBlock | undefined;
  for (const process of processes) {
    for (const task of process.threads) {
      const state = readable(() => ({
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

/** `filter_count` since Linux 5.11 (c818c03b661c); before, the length of the chain. */
function filterCount(task: KernelObject): number {
  if (task.has("seccomp.filter_count")) return task.number("seccomp.filter_count.counter");
  let count = 0;
  let filter = task.has("seccomp.filter") ? task.tryDeref("seccomp.filter") : undefined;
  while (filter !== undefined && count < MAX_FILTERS) {
    count++;
    filter = filter.tryDeref("prev");
  }
  return count;
}
