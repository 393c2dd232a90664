import { viewOf } from "../uapi/bytes.ts";
import type { KernelObject } from "./program.ts";
import { BrokenList } from "./lists.ts";

/** An entry of an xarray and its index. */
export interface XarrayEntry {
  readonly index: bigint;
  /** A pointer, or a value as the xarray stores it (low bit set). */
  readonly value: bigint;
}

/** 64-bit indexes at 6 bits a level need 11 levels, the topmost with this shift. */
const MAX_DEPTH = 11;
const MAX_SHIFT = 60;
/** Entries of an xarray of rings or personalities; a page cache may have more, and is bounded. */
const MAX_ENTRIES = 1_000_000;
/** Internal entries up to this are markers (sibling, retry, zero), not nodes (`xa_is_node`). */
const LARGEST_MARKER = 4096n;

/**
 * Present entries of a `struct xarray`, ascending: `xa_for_each` of `include/linux/xarray.h`.
 * Markers of a store under way are skipped.
 *
 * @throws {BrokenList} when nodes do not fit together or are too many.
 * @throws {MemoryFault} when a node cannot be read.
 */
export function* xaForEach(xarray: KernelObject): Generator<XarrayEntry> {
  const all = { index: 0n, below: MAX_SHIFT + 1, budget: { left: MAX_ENTRIES } };
  yield* walk(xarray, xarray.pointer("xa_head"), all);
}

/** Where an entry stands: its first index, what its shift is below, how many may still follow. */
interface EntryPlace {
  readonly index: bigint;
  readonly below: number;
  readonly budget: { left: number };
}

function* walk(
  xarray: KernelObject,
  entry: bigint,
  { index, below, budget }: EntryPlace,
): Generator<XarrayEntry> {
  if (--budget.left < 0) throw new BrokenList(`xarray has more than ${MAX_ENTRIES} entries`);
  if (entry === 0n) return;
  if (!isInternal(entry)) {
    yield { index, value: entry };
    return;
  }
  if (entry <= LARGEST_MARKER) return;
  const node = xarray.program.object("xa_node", entry - 2n);
  const shift = node.number("shift");
  // Each level shifts less than the one above: a node that leads back up does not fit.
  if (shift >= below) {
    throw new BrokenList(`xarray node at 0x${node.address.toString(16)} has shift ${shift}`);
  }
  const slots = node.bytes("slots");
  const view = viewOf(slots);
  for (let i = 0; i < slots.byteLength / 8; i++) {
    const slot = view.getBigUint64(i * 8, true);
    if (slot === 0n) continue;
    const at = index | BigInt(i) << BigInt(shift);
    yield* walk(xarray, slot, { index: BigInt.asUintN(64, at), below: shift, budget });
  }
}

/** The entry at an index (`xa_load`), or undefined. */
export function xaLoad(xarray: KernelObject, index: bigint): bigint | undefined {
  let entry = xarray.pointer("xa_head");
  for (let depth = 0; depth < MAX_DEPTH && isInternal(entry); depth++) {
    if (entry <= LARGEST_MARKER) return undefined;
    const node = xarray.program.object("xa_node", entry - 2n);
    const shift = BigInt(node.number("shift"));
    const slots = node.bytes("slots");
    const count = BigInt(slots.byteLength / 8);
    if (depth === 0 && index >> shift >= count) return undefined;
    const slot = Number(index >> shift & (count - 1n));
    const view = viewOf(slots);
    entry = view.getBigUint64(slot * 8, true);
    // A sibling entry says which slot holds a multi-index entry.
    if (isInternal(entry) && entry <= LARGEST_MARKER && entry >> 2n < count) {
      entry = view.getBigUint64(Number(entry >> 2n) * 8, true);
    }
    if (!isInternal(entry)) return entry === 0n ? undefined : entry;
  }
  if (isInternal(entry) || entry === 0n) return undefined;
  return index === 0n ? entry : undefined;
}

/** `xa_is_internal`: the low bits are `10`. */
function isInternal(entry: bigint): boolean {
  return (entry & 3n) === 2n;
}
