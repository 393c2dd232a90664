/**
 * Finds where things end in JSON without reading them, for lines that need not be read. It knows a
 * part of JSON: ASCII, keys without escapes, integers, at most one blank where some programs put
 * one. What it takes is JSON, which a test compares with JSON.parse; what it does not take may be.
 */

/** Bytes that stand for themselves within a string: printable ASCII but `"` and `\`. */
const ORDINARY = Uint8Array.from(
  { length: 256 },
  (_, byte) => Number(byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c),
);
const DIGIT = Uint8Array.from({ length: 256 }, (_, byte) => Number(byte >= 0x30 && byte <= 0x39));
const HEX = asciiOf("0123456789abcdefABCDEF");
const ESCAPES = asciiOf('"\\/bfnrt');
const LITERALS = ["true", "false", "null"].map(asciiOf);
export const BLANK = 0x20;
const QUOTE = 0x22;
export const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
export const COLON = 0x3a;
const LIST = 0x5b;
const BACKSLASH = 0x5c;
const LIST_END = 0x5d;
const LETTER_U = 0x75;
export const OBJECT = 0x7b;
export const OBJECT_END = 0x7d;

/** Bytes, and the same as words. */
export interface Block {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: DataView;
}

/** A view of bytes as words. */
export function wordsOf({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** The bytes of a text. */
export function asciiOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Whether the bytes from `start` to `end` are those of `text`. */
export function isAt(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text[i]) return false;
  return true;
}

/**
 * Whether the bytes at `at` are some that are known, all of them printable ASCII.
 *
 * @param known At least eight bytes.
 */
export function isSame(
  words: DataView,
  at: number,
  known: { words: DataView; start: number; length: number },
): boolean {
  const { start, length } = known;
  if (at + length > words.byteLength) return false;
  // Eight bytes of printable ASCII are a number that equals itself alone: neither 0 nor NaN.
  const last = length - 8;
  for (let i = 0; i < last; i += 8) {
    if (words.getFloat64(at + i) !== known.words.getFloat64(start + i)) return false;
  }
  return words.getFloat64(at + last) === known.words.getFloat64(start + last);
}

/** The index of the quote that ends the key whose first quote is at `i`, or -1. */
export function keyEnd(bytes: Uint8Array, i: number): number {
  if (bytes[i] !== QUOTE) return -1;
  do i++; while (ORDINARY[bytes[i]!] === 1);
  return bytes[i] === QUOTE ? i : -1;
}

/** The index of the first byte from `i` on that is not ordinary. */
function ordinaryEnd({ bytes, words }: Block, i: number): number {
  for (const last = bytes.length - 4; i <= last; i += 4) {
    const word = words.getInt32(i);
    // The highest bit of a byte that is below 0x20, a quote, a backslash, 0x7f or not ASCII, and
    // maybe of one before such a byte: additions carry.
    const others = word - 0x20202020 | (word ^ 0x22222222) - 0x01010101 |
      (word ^ 0x5c5c5c5c) - 0x01010101 | word + 0x01010101 | word;
    if ((others & 0x80808080) !== 0) break;
  }
  while (ORDINARY[bytes[i]!] === 1) i++;
  return i;
}

/** The index after the value at `i`, in which at most `depth` objects and lists lie in one another; or -1. */
export function valueEnd(block: Block, i: number, depth: number): number {
  const { bytes } = block;
  const first = bytes[i]!;
  if (first === QUOTE) return stringEnd(block, i);
  if (DIGIT[first] === 1 || first === MINUS) return integerEnd(bytes, i);
  if (first !== OBJECT && first !== LIST) return literalEnd(bytes, i);
  if (depth === 0) return -1;
  const end = first === OBJECT ? OBJECT_END : LIST_END;
  if (bytes[i + 1] === end) return i + 2;
  for (i++;; i++) {
    if (bytes[i] === BLANK) i++;
    if (first === OBJECT) {
      i = keyEnd(bytes, i) + 1;
      if (i === 0 || bytes[i] !== COLON) return -1;
      i++;
      if (bytes[i] === BLANK) i++;
    }
    i = valueEnd(block, i, depth - 1);
    if (i < 0) return -1;
    if (bytes[i] === COMMA) continue;
    return bytes[i] === end ? i + 1 : -1;
  }
}

function stringEnd(block: Block, i: number): number {
  const { bytes } = block;
  for (i++;;) {
    i = ordinaryEnd(block, i);
    if (bytes[i] === QUOTE) return i + 1;
    if (bytes[i] !== BACKSLASH) return -1;
    i++;
    if (bytes[i] === LETTER_U) {
      for (let digit = 1; digit <= 4; digit++) if (!HEX.includes(bytes[i + digit]!)) return -1;
      i += 5;
    } else {
      if (!ESCAPES.includes(bytes[i]!)) return -1;
      i++;
    }
  }
}

/** Of a number with a fraction, only what comes before it: neither a member nor an item ends there. */
function integerEnd(bytes: Uint8Array, i: number): number {
  if (bytes[i] === MINUS) i++;
  if (bytes[i] === ZERO) return i + 1;
  if (DIGIT[bytes[i]!] !== 1) return -1;
  while (DIGIT[bytes[i]!] === 1) i++;
  return i;
}

function literalEnd(bytes: Uint8Array, i: number): number {
  for (const literal of LITERALS) {
    if (isAt(bytes, i, i + literal.length, literal)) return i + literal.length;
  }
  return -1;
}
