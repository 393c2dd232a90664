/** Takes processes off the lists of a kernel in an image, as a rootkit does. */
import { listForEachEntry } from "../../lib/kernel/lists.ts";
import { containerOf, type KernelObject, type Program } from "../../lib/kernel/program.ts";
import { xaForEach } from "../../lib/kernel/xarray.ts";

/** An image that can be changed at addresses of its kernel. */
export interface EditableImage {
  readonly program: Program;
  /** Writes a 64-bit value. */
  writeWord(address: bigint, value: bigint): void;
}

/** The process of a name on the task list. */
export function taskNamed({ program }: EditableImage, name: string): KernelObject {
  const head = program.variable("init_task", "task_struct")!.addressOf("tasks");
  for (const task of listForEachEntry(program, head, { type: "task_struct", member: "tasks" })) {
    if (new TextDecoder().decode(task.text("comm")) === name) return task;
  }
  throw new Error(`the image has no task ${name}`);
}

/** Takes a process off the task list: its neighbours point to each other. */
export function unlinkTask(image: EditableImage, task: KernelObject): void {
  const [next, prev] = [task.pointer("tasks.next"), task.pointer("tasks.prev")];
  image.writeWord(prev, next);
  image.writeWord(next + 8n, prev);
}

/** Takes a process out of the table of pids. */
export function takePid(image: EditableImage, task: KernelObject): void {
  const { program } = image;
  const pids = program.variable("init_pid_ns", "pid_namespace")!.embedded("idr.idr_rt");
  for (const { value } of xaForEach(pids)) {
    const tasks = program.object("pid", value).addressOf("tasks");
    const node = program.memory.readPointer(tasks);
    if (node === 0n) continue;
    const found = containerOf(program, node, { type: "task_struct", member: "pid_links" });
    if (found.address === task.address) return image.writeWord(tasks, 0n);
  }
  throw new Error("the task has no pid");
}
