import type { SearchOptions } from "./image_file.ts";

/** Bytes and the address that the first of them has. */
export interface Piece {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** How much is searched at once. */
const WINDOW = 1024 * 1024;
/** From this alignment on, looking at each place beats looking for a byte. */
const SPARSE = 64;

/**
 * Addresses of `pattern` in bytes that come piece by piece, ascending. A match may lie across pieces
 * that follow each other without a gap. Memory use is bounded by the window and one piece.
 *
 * `start` and `end` bound the matches, whatever the pieces hold beside that.
 */
export function searchPieces(
  pieces: Iterable<Piece>,
  pattern: Uint8Array,
  { start = 0, end = Infinity, align = 1, limit = 64 }: SearchOptions = {},
): number[] {
  const hits: number[] = [];
  const window = new Uint8Array(WINDOW);
  /** The window holds `length` bytes from address `base` on. */
  let base = 0;
  let length = 0;
  const search = () => {
    const from = Math.max(0, start - base);
    const to = Math.min(length, end - base);
    const phase = ((start - base) % align + align) % align;
    for (const at of findBytes(window.subarray(0, Math.max(0, to)), pattern, from, phase, align)) {
      if (hits.length === limit) break;
      hits.push(base + at);
    }
  };
  for (const piece of pieces) {
    if (piece.start !== base + length) {
      search();
      base = piece.start;
      length = 0;
    }
    for (let done = 0; done < piece.bytes.length;) {
      if (length === WINDOW) {
        search();
        // What is left may be the front of a match.
        const kept = pattern.length - 1;
        window.copyWithin(0, length - kept, length);
        base += length - kept;
        length = kept;
      }
      const part = piece.bytes.subarray(done, done + WINDOW - length);
      window.set(part, length);
      length += part.length;
      done += part.length;
    }
    if (hits.length === limit) return hits;
  }
  search();
  return hits;
}

/** Offsets from `from` on that are `phase` modulo `align` and start with `pattern`. */
function* findBytes(
  bytes: Uint8Array,
  pattern: Uint8Array,
  from: number,
  phase: number,
  align: number,
): Generator<number> {
  const last = bytes.length - pattern.length;
  if (align >= SPARSE) {
    for (let at = from + ((phase - from) % align + align) % align; at <= last; at += align) {
      if (startsWith(bytes, at, pattern)) yield at;
    }
    return;
  }
  const rare = rarest(pattern);
  const byte = pattern[rare]!;
  for (let at = bytes.indexOf(byte, from + rare); at >= 0; at = bytes.indexOf(byte, at + 1)) {
    const first = at - rare;
    if (first > last) return;
    if ((first - phase) % align === 0 && startsWith(bytes, first, pattern)) yield first;
  }
}

function startsWith(bytes: Uint8Array, at: number, pattern: Uint8Array): boolean {
  for (let i = 0; i < pattern.length; i++) {
    if (bytes[at + i] !== pattern[i]) return false;
  }
  return true;
}

/** Index of the byte of a pattern that memory holds least of: not 0, not -1, no letter. */
function rarest(pattern: Uint8Array): number {
  const commonness = (byte: number) =>
    byte === 0 ? 3 : byte === 0xff || byte < 0x10 ? 2 : byte >= 0x61 && byte <= 0x7a ? 1 : 0;
  let best = 0;
  pattern.forEach((byte, i) => {
    if (commonness(byte) < commonness(pattern[best]!)) best = i;
  });
  return best;
}
