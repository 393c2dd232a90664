import { viewOf } from "../uapi/bytes.ts";
import type { ByteReader } from "./image_file.ts";
import type { MemoryRange } from "./physical_memory.ts";

/** What a LiME file holds. */
export interface LimeRanges {
  /** Ascending, not overlapping, all inside the file. */
  readonly ranges: readonly MemoryRange[];
  /**
   * Whether AVML wrote it, which leaves out blocks that are all zeros. Such a block then reads as
   * absent until it is known that the machine had memory there.
   */
  readonly elided: boolean;
  /** Damage that was worked around, one sentence each. */
  readonly damage: readonly string[];
}

/** `LIME_MAGIC` as it lies in the file. */
export const LIME_MAGIC = [0x45, 0x4d, 0x69, 0x4c] as const;

/** Size of `lime_mem_range_header`. */
export const LIME_HEADER_SIZE = 32;

/** AVML cuts ranges into blocks of at most so many bytes (`MAX_BLOCK_SIZE` of src/image.rs). */
export const AVML_BLOCK_SIZE = 0x1000 * 0x1000;

/** Ranges of a real image: one a stretch of RAM, or one for 16 MiB. More is damage. */
const MAX_RANGES = 2 ** 22;

/**
 * Reads the headers of LiME's format, version 1 (LiME, doc/README.md: "Memory Range Header Version
 * 1"): each range of System RAM follows a header with its first and last address.
 *
 * AVML writes the same when it does not compress, in blocks of at most 16 MiB, and leaves out those
 * that are all zeros. A file without a longer range and with a range of just 16 MiB is taken for one
 * of those: LiME itself does not cut ranges.
 */
export function readLime(source: ByteReader): LimeRanges {
  const ranges: MemoryRange[] = [];
  const damage: string[] = [];
  let longest = 0;
  let at = 0;
  while (at < source.size) {
    const header = source.read(at, LIME_HEADER_SIZE);
    const range = header && readLimeHeader(header, LIME_MAGIC, 1);
    if (range === undefined || ranges.length === MAX_RANGES) {
      damage.push(`no range header at ${at}; nothing behind it was read`);
      break;
    }
    at += LIME_HEADER_SIZE;
    const length = Math.min(range.end - range.start, source.size - at);
    if (length < range.end - range.start) {
      damage.push(`the range at ${at} is cut short by the end of the file`);
    }
    if (length > 0) ranges.push({ start: range.start, end: range.start + length, offset: at });
    longest = Math.max(longest, length);
    at += length;
  }
  const sorted = withoutOverlap(ranges, damage);
  return { ranges: sorted, elided: longest === AVML_BLOCK_SIZE && damage.length === 0, damage };
}

/** The addresses that a range header gives, its end exclusive; undefined where it is none. */
export function readLimeHeader(
  header: Uint8Array,
  magic: readonly number[],
  version: number,
): { start: number; end: number } | undefined {
  if (!magic.every((byte, i) => header[i] === byte)) return undefined;
  const view = viewOf(header);
  if (view.getUint32(4, true) !== version) return undefined;
  const start = Number(view.getBigUint64(8, true));
  const end = Number(view.getBigUint64(16, true)) + 1;
  // Physical addresses have at most 52 bits.
  return start < end && end <= 2 ** 52 ? { start, end } : undefined;
}

/** Sorts ranges and drops what an earlier one already holds. */
function withoutOverlap(ranges: readonly MemoryRange[], damage: string[]): MemoryRange[] {
  const sorted = [...ranges].sort((a, b) => a.start - b.start || b.end - a.end);
  const kept: MemoryRange[] = [];
  let overlaps = 0;
  let end = 0;
  for (const range of sorted) {
    if (range.start < end) overlaps++;
    if (range.end <= end) continue;
    const skipped = Math.max(0, end - range.start);
    kept.push({ start: range.start + skipped, end: range.end, offset: range.offset + skipped });
    end = range.end;
  }
  if (overlaps > 0) damage.push(`${overlaps} ranges overlap another`);
  return kept;
}
