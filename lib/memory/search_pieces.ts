import type { SearchOptions, SearchPattern } from "./image_file.ts";

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
 * Addresses of each pattern in bytes that come piece by piece, ascending. A match may lie across
 * pieces that follow each other without a gap. Memory use is bounded by the window and one piece.
 *
 * `start` and `end` bound the matches, whatever the pieces hold beside that.
 */
export function searchPieces(
  pieces: Iterable<Piece>,
  patterns: readonly SearchPattern[],
  { start = 0, end = Infinity, limit = 64 }: SearchOptions = {},
): number[][] {
  const hits = patterns.map((): number[] => []);
  const longest = Math.max(...patterns.map(({ bytes }) => bytes.length));
  // Made with the first piece: in a file of gaps many a search meets none.
  let window = new Uint8Array();
  /** The window holds `length` bytes from address `base` on; `done` of them have been searched. */
  let base = 0;
  let length = 0;
  let done = 0;
  const search = () => {
    const bytes = window.subarray(0, Math.max(0, Math.min(length, end - base)));
    patterns.forEach((pattern, i) => {
      // Of those that start before, what ends in the bytes searched has been found.
      const from = Math.max(0, start - base, done - pattern.bytes.length + 1);
      const found = hits[i]!;
      for (const at of findBytes(bytes, pattern, { base, from })) {
        if (found.length >= limit) break;
        found.push(base + at);
      }
    });
  };
  for (const piece of pieces) {
    if (window.length === 0) window = new Uint8Array(WINDOW);
    if (piece.start !== base + length) {
      search();
      base = piece.start;
      length = 0;
      done = 0;
    }
    for (let taken = 0; taken < piece.bytes.length;) {
      if (length === WINDOW) {
        search();
        // What is left may be the front of a match.
        const kept = longest - 1;
        window.copyWithin(0, length - kept, length);
        base += length - kept;
        length = kept;
        done = kept;
      }
      const part = piece.bytes.subarray(taken, taken + WINDOW - length);
      window.set(part, length);
      length += part.length;
      taken += part.length;
    }
    if (hits.every((found) => found.length >= limit)) return hits;
  }
  search();
  return hits;
}

/** Offsets from `from` on at which bytes, whose first has the address `base`, hold a pattern. */
function* findBytes(
  bytes: Uint8Array,
  { bytes: wanted, align = 1, phase = 0 }: SearchPattern,
  { base, from }: { base: number; from: number },
): Generator<number> {
  const last = bytes.length - wanted.length;
  if (align >= SPARSE) {
    const before = (base + from) % align;
    const first = from + phase - before + (before > phase ? align : 0);
    for (let at = first; at <= last; at += align) {
      if (startsWith(bytes, at, wanted)) yield at;
    }
    return;
  }
  const rare = rarest(wanted);
  const byte = wanted[rare]!;
  for (let at = bytes.indexOf(byte, from + rare); at >= 0; at = bytes.indexOf(byte, at + 1)) {
    const first = at - rare;
    if (first > last) return;
    if ((base + first) % align === phase && startsWith(bytes, first, wanted)) yield first;
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
