import { copyBack } from "./copy_back.ts";

/** After a run of literals: a short match then reaches further back. */
const AFTER_LITERALS = 4;

/**
 * Decodes one LZO1X stream (Linux, Documentation/staging/lzo.rst) that is to hold exactly `length`
 * bytes; undefined where it does not.
 *
 * Written here because no package fits: those for npm are bindings to native code, LZO inside
 * of a WebAssembly build of FFmpeg, or under the GPL. Every step takes from the input, and no byte is
 * read or written outside of it and of the output.
 */
export function decodeLzo(bytes: Uint8Array, length: number): Uint8Array | undefined {
  const output = new Uint8Array(length);
  let at = 0;
  let filled = 0;
  /** How many literals followed the last match, or {@linkcode AFTER_LITERALS}. */
  let state = 0;

  const literals = (count: number): boolean => {
    if (at + count > bytes.length || filled + count > length) return false;
    output.set(bytes.subarray(at, at + count), filled);
    at += count;
    filled += count;
    return true;
  };
  /** A length whose field is 0: each zero byte adds 255, and the first other one ends it. */
  const longLength = (base: number): number => {
    while (bytes[at] === 0) {
      base += 255;
      at++;
    }
    return base + (bytes[at++] ?? Infinity);
  };

  if (bytes.length > 0 && bytes[0]! > 17) {
    const count = bytes[at++]! - 17;
    if (!literals(count)) return undefined;
    state = Math.min(count, AFTER_LITERALS);
  }
  while (at < bytes.length) {
    const tag = bytes[at++]!;
    let count: number;
    let distance: number;
    let next: number;
    if (tag >= 64) {
      if (at >= bytes.length) return undefined;
      count = (tag >> 5) + 1;
      distance = (bytes[at++]! << 3) + (tag >> 2 & 7) + 1;
      next = tag & 3;
    } else if (tag >= 16) {
      const mask = tag >= 32 ? 31 : 7;
      count = (tag & mask || longLength(mask)) + 2;
      if (at + 2 > bytes.length) return undefined;
      const field = bytes[at]! | bytes[at + 1]! << 8;
      at += 2;
      distance = (field >> 2) + 1;
      next = field & 3;
      if (tag < 32) {
        distance += ((tag & 8) << 11) + 16383;
        // The end of the stream: a match of distance 0 beyond the 16 KiB.
        if (distance === 16384) return filled === length ? output : undefined;
      }
    } else if (state === 0) {
      if (!literals((tag || longLength(15)) + 3)) return undefined;
      state = AFTER_LITERALS;
      continue;
    } else {
      if (at >= bytes.length) return undefined;
      count = state === AFTER_LITERALS ? 3 : 2;
      distance = (bytes[at++]! << 2) + (tag >> 2) + (state === AFTER_LITERALS ? 2049 : 1);
      next = tag & 3;
    }
    if (distance > filled || !(filled + count <= length)) return undefined;
    filled = copyBack(output, filled, { distance, count });
    if (!literals(next)) return undefined;
    state = next;
  }
  return undefined;
}
