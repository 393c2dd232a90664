import { viewOf } from "../uapi/bytes.ts";
import type { KernelObject, Program } from "./program.ts";
import { BrokenList } from "./lists.ts";

/** A range of indexes and what the tree holds for it. Both ends are inclusive. */
export interface MapleEntry {
  readonly first: bigint;
  readonly last: bigint;
  readonly value: bigint;
}

const MAX_ENTRIES = 1_000_000;
const MAX_DEPTH = 31;
/** `MAPLE_NODE_MASK`: nodes are aligned to 256 bytes, and the low bits say what they are. */
const NODE_MASK = 0xffn;
const MAPLE_LEAF_64 = 1;
const MAPLE_ARANGE_64 = 3;

/**
 * Present entries of a `struct maple_tree`, ascending (`lib/maple_tree.c`; Linux 6.1 and later).
 *
 * @throws {BrokenList} when nodes do not fit together or are too many.
 * @throws {MemoryFault} when a node cannot be read.
 */
export function* mtForEach(tree: KernelObject): Generator<MapleEntry> {
  const root = tree.pointer("ma_root");
  if (root === 0n) return;
  if (!isNode(root)) {
    // A root that is no node holds the one entry at index 0.
    if ((root & 3n) !== 2n) yield { first: 0n, last: 0n, value: root };
    return;
  }
  const all = { first: 0n, last: 2n ** 64n - 1n, depth: 0, budget: { left: MAX_ENTRIES } };
  yield* walk(tree.program, root, all);
}

/** Where a node stands in its tree, and how many slots may still be looked at. */
interface NodePlace {
  readonly first: bigint;
  readonly last: bigint;
  readonly depth: number;
  readonly budget: { left: number };
}

function* walk(program: Program, entry: bigint, place: NodePlace): Generator<MapleEntry> {
  const { depth, budget } = place;
  if (depth > MAX_DEPTH) throw new BrokenList("maple tree is deeper than it can be");
  // The type of a node is in bits 3 to 6 of the pointer to it.
  const type = Number(entry >> 3n & 0xfn);
  const node = program.object(
    type === MAPLE_ARANGE_64 ? "maple_arange_64" : "maple_range_64",
    entry & ~NODE_MASK,
  );
  const pivots = values(node.bytes("pivot"));
  const slots = values(node.bytes("slot"));
  let { first } = place;
  for (let i = 0; i < slots.length; i++) {
    if (--budget.left < 0) {
      throw new BrokenList(`maple tree has more than ${MAX_ENTRIES} entries`);
    }
    // A pivot of 0 after the first slot means that the node ends here.
    const pivot = i < pivots.length ? pivots[i]! : place.last;
    const last = pivot === 0n && i > 0 ? place.last : pivot;
    if (last < first || last > place.last) {
      throw new BrokenList(`maple node at 0x${node.address.toString(16)} has pivots out of order`);
    }
    const slot = slots[i]!;
    if (slot !== 0n) {
      if (type === MAPLE_LEAF_64) {
        if ((slot & 3n) !== 2n) yield { first, last, value: slot };
      } else {
        yield* walk(program, slot, { first, last, depth: depth + 1, budget });
      }
    }
    if (last === place.last) return;
    first = last + 1n;
  }
}

/** `xa_is_node`, for the root alone: entries that point to inner nodes carry other low bits. */
function isNode(entry: bigint): boolean {
  return (entry & 3n) === 2n && entry > 4096n;
}

function values(bytes: Uint8Array): bigint[] {
  const view = viewOf(bytes);
  return Array.from({ length: bytes.byteLength / 8 }, (_, i) => view.getBigUint64(i * 8, true));
}
