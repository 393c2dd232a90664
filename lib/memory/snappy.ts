import { copyBack } from "./copy_back.ts";

/**
 * Decodes one raw Snappy block (google/snappy, format_description.txt) that is to hold exactly
 * `length` bytes; undefined where it does not.
 *
 * Written here because snappyjs 0.7.0, the library at hand, loops for ever on a literal whose length
 * is negative as a signed number, and takes a block that ends early for one that ends in zeros. Here
 * every tag moves the output on, and no byte is read or written outside of the block.
 */
export function decodeSnappy(bytes: Uint8Array, length: number): Uint8Array | undefined {
  const preamble = readLength(bytes);
  if (preamble === undefined || preamble.length !== length) return undefined;
  const output = new Uint8Array(length);
  let at = preamble.size;
  let filled = 0;
  while (at < bytes.length) {
    const tag = bytes[at++]!;
    let count: number;
    let distance: number;
    switch (tag & 3) {
      case 0: {
        count = (tag >>> 2) + 1;
        if (count > 60) {
          // 61 to 64 say that the length less one is in 1 to 4 bytes.
          const size = count - 60;
          count = 1;
          for (let i = 0; i < size; i++) count += (bytes[at + i] ?? NaN) * 2 ** (8 * i);
          at += size;
        }
        if (!(at + count <= bytes.length && filled + count <= length)) return undefined;
        output.set(bytes.subarray(at, at + count), filled);
        at += count;
        filled += count;
        continue;
      }
      case 1:
        if (at >= bytes.length) return undefined;
        count = ((tag >>> 2) & 7) + 4;
        distance = (tag >>> 5) << 8 | bytes[at]!;
        at += 1;
        break;
      case 2:
        if (at + 2 > bytes.length) return undefined;
        count = (tag >>> 2) + 1;
        distance = bytes[at]! | bytes[at + 1]! << 8;
        at += 2;
        break;
      default:
        if (at + 4 > bytes.length) return undefined;
        count = (tag >>> 2) + 1;
        distance =
          (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
        at += 4;
    }
    if (distance === 0 || distance > filled || filled + count > length) return undefined;
    filled = copyBack(output, filled, { distance, count });
  }
  return filled === length ? output : undefined;
}

/** How many bytes a raw Snappy block says it holds; undefined where it does not start with that. */
export function snappyLength(bytes: Uint8Array): number | undefined {
  return readLength(bytes)?.length;
}

/** The preamble: a 32-bit number, 7 bits a byte, the lowest first. */
function readLength(bytes: Uint8Array): { length: number; size: number } | undefined {
  let length = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[i];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return length < 2 ** 32 ? { length, size: i + 1 } : undefined;
  }
  return undefined;
}
