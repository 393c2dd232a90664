import type { AddressSpace } from "./address_space.ts";
import { MemoryFault } from "./memory_fault.ts";
import type { KernelObject, Program } from "./program.ts";
import { KERNEL_IMAGE_END, KERNEL_IMAGE_START } from "./symbols.ts";

/** `comm` of the first task, as long as it is. */
const SWAPPER = new TextEncoder().encode("swapper/0\0\0\0\0\0\0\0");
/** Anyone can write these bytes, but not into the kernel's image. */
const MOST_HITS = 64;

/**
 * The first task, `init_task`: by its symbol, or where a kernel names no data
 * (CONFIG_KALLSYMS_ALL=n), as what is called `swapper/0` in the kernel's image, has pid 0 and is its
 * own parent.
 */
export function findInitTask(program: Program): KernelObject | undefined {
  const named = program.variable("init_task", "task_struct");
  if (named !== undefined || !program.has("task_struct", "comm")) return named;
  const comm = BigInt(program.offsetOf("task_struct", "comm"));
  for (const name of findSwapperNames(program.memory)) {
    const task = program.object("task_struct", name - comm);
    if (isFirst(task)) return task;
  }
  return undefined;
}

/** Addresses of all that reads like the first task's name in the kernel's image. */
export function* findSwapperNames(memory: AddressSpace): Generator<bigint> {
  for (const { start, length, physical } of memory.mappings(KERNEL_IMAGE_START, KERNEL_IMAGE_END)) {
    const within = { start: physical, end: physical + length, limit: MOST_HITS };
    const [hits = []] = memory.physical.search([{ bytes: SWAPPER }], within);
    for (const hit of hits) {
      yield start + BigInt(hit - physical);
    }
  }
}

function isFirst(task: KernelObject): boolean {
  try {
    return task.number("pid") === 0 && task.pointer("real_parent") === task.address;
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return false;
  }
}
