import type { KernelObject } from "../kernel/program.ts";

/** The low bits of a fixed file's pointer are flags of the file. */
const FILE_POINTER = ~7n;

/**
 * The file in a slot of a ring's table of registered files, or undefined when the slot is empty.
 *
 * @throws {MemoryFault | AbsentError} where it cannot be read.
 */
export function fixedFile(ctx: KernelObject, slot: number): KernelObject | undefined {
  const { program } = ctx;
  const at = BigInt(slot * 8);
  if (ctx.has("file_table.data.nodes")) {
    // A node for each slot since Linux 6.13 (7029acd8a950).
    if (slot < 0 || slot >= ctx.number("file_table.data.nr")) return undefined;
    const address = program.memory.readPointer(ctx.pointer("file_table.data.nodes") + at);
    if (address === 0n) return undefined;
    return fileAt(ctx, program.object("io_rsrc_node", address).bigint("file_ptr"));
  }
  if (!ctx.has("file_table.files")) return undefined;
  if (slot < 0 || slot >= ctx.number("nr_user_files")) return undefined;
  // `struct io_fixed_file` holds one word (Linux 5.12 to 6.12).
  return fileAt(ctx, program.memory.readPointer(ctx.pointer("file_table.files") + at));
}

function fileAt(ctx: KernelObject, pointer: bigint): KernelObject | undefined {
  const address = pointer & FILE_POINTER;
  return address === 0n ? undefined : ctx.program.object("file", address);
}
