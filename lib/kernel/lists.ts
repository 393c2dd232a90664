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
  yield* follow(program, head, entry, { isEnd: (node) => node === head, link: NEXT });
}

/** {@linkcode listForEachEntry} from the end: what lies behind a break in the list. */
export function* listForEachEntryReverse(
  program: Program,
  head: bigint,
  entry: EntryOf,
): Generator<KernelObject> {
  yield* follow(program, head, entry, { isEnd: (node) => node === head, link: PREV });
}

/**
 * Entries of a list that starts with the pointer at `head`, goes on with the first pointer of each
 * node and ends with null: `hlist_head` (`include/linux/list.h`), `llist_head`
 * (`include/linux/llist.h`) and `io_wq_work_list` (`io_uring/slist.h`).
 *
 * @throws {BrokenList} when the list loops, is too long or has memory that cannot be read.
 */
export function* hlistForEachEntry(
  program: Program,
  head: bigint,
  entry: EntryOf,
): Generator<KernelObject> {
  yield* follow(program, head, entry, { isEnd: (node) => node === 0n, link: NEXT });
}

/** Offsets of the pointers of a list node. */
const NEXT = 0n;
const PREV = 8n;

function* follow(
  program: Program,
  head: bigint,
  { type, member, limit = MAX_ENTRIES }: EntryOf,
  { isEnd, link }: { isEnd: (node: bigint) => boolean; link: bigint },
): Generator<KernelObject> {
  const seen = new Set<bigint>();
  let node = readLink(program, head + link);
  while (!isEnd(node)) {
    const where = `list at 0x${head.toString(16)}`;
    if (node === 0n) throw new BrokenList(`${where} ends after ${seen.size} entries`);
    if (seen.has(node)) throw new BrokenList(`${where} loops after ${seen.size} entries`);
    if (seen.size >= limit) throw new BrokenList(`${where} has more than ${limit} entries`);
    seen.add(node);
    yield containerOf(program, node, { type, member });
    node = readLink(program, node + link);
  }
}

function readLink(program: Program, pointer: bigint): bigint {
  try {
    return program.memory.readPointer(BigInt.asUintN(64, pointer));
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    throw new BrokenList(`list pointer at 0x${pointer.toString(16)}: ${error.message}`);
  }
}
