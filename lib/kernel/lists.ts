import { containerOf, type KernelObject, type Program } from "./program.ts";
import { MemoryFault } from "./memory_fault.ts";

/** A list that does not end as a list must. What was yielded before is good. */
export class BrokenList extends Error {
  override readonly name = "BrokenList";
}

/** Longest walk where the caller sets no bound. */
const MAX_ENTRIES = 1_000_000;

/** The struct and the member that an entry is linked by, and a bound on the walk. */
export interface EntryOf {
  readonly type: string;
  readonly member: string;
  readonly limit?: number;
}

/**
 * Entries of a `struct list_head` at `head`, in order: `list_for_each_entry` of
 * `include/linux/list.h`.
 *
 * @throws {BrokenList} when the list loops, is too long or has memory that cannot be read.
 */
export function* listForEachEntry(
  program: Program,
  head: bigint,
  entry: EntryOf,
): Generator<KernelObject> {
  yield* follow(program, head, entry, {
    first: next(program, head),
    isEnd: (node) => node === head,
  });
}

/** Entries of a `struct hlist_head` at `head`: `hlist_for_each_entry` of `include/linux/list.h`. */
export function* hlistForEachEntry(
  program: Program,
  head: bigint,
  entry: EntryOf,
): Generator<KernelObject> {
  yield* follow(program, head, entry, {
    first: next(program, head),
    isEnd: (node) => node === 0n,
  });
}

/**
 * Entries of a singly linked list that starts with the pointer at `head` and ends with null:
 * `llist_for_each_entry` of `include/linux/llist.h`, and `io_wq_work_list`.
 */
export function* slistForEachEntry(
  program: Program,
  head: bigint,
  entry: EntryOf,
): Generator<KernelObject> {
  yield* hlistForEachEntry(program, head, entry);
}

function* follow(
  program: Program,
  head: bigint,
  { type, member, limit = MAX_ENTRIES }: EntryOf,
  { first, isEnd }: { first: bigint; isEnd: (node: bigint) => boolean },
): Generator<KernelObject> {
  const seen = new Set<bigint>();
  let node = first;
  while (!isEnd(node)) {
    const where = `list at 0x${head.toString(16)}`;
    if (node === 0n) throw new BrokenList(`${where} ends after ${seen.size} entries`);
    if (seen.has(node)) throw new BrokenList(`${where} loops after ${seen.size} entries`);
    if (seen.size >= limit) throw new BrokenList(`${where} has more than ${limit} entries`);
    seen.add(node);
    yield containerOf(program, node, { type, member });
    node = next(program, node);
  }
}

/** The first pointer of a list node is the next one in every kind of list. */
function next(program: Program, node: bigint): bigint {
  try {
    return program.memory.readPointer(node);
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    throw new BrokenList(`list node at 0x${node.toString(16)} cannot be read: ${error.message}`);
  }
}
