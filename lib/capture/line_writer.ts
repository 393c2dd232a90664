import type { EncodedLines } from "../chain/chain.ts";

const ENCODER = new TextEncoder();
const START_BYTES = 128 * 1024;
/** A UTF-16 unit takes at most so many bytes. */
const MAX_UNIT_BYTES = 3;
/** From here on the encoder is faster than a loop. */
const SHORT = 64;
/** The same for a copy. */
const SHORT_PIECE = 48;
const MAX_ASCII = 0x7f;
const MAX_INT = 0x7fffffff;
const ZERO = 0x30;
const MINUS = 0x2d;
const NEWLINE = 10;

const HEX_DIGITS = ENCODER.encode("0123456789abcdef");

/** Text as it is written again and again. */
export function piece(text: string): Uint8Array {
  return ENCODER.encode(text);
}

/**
 * Writes lines as UTF-8 into one buffer. At hundreds of thousands of lines a second, strings that
 * are put together, flattened and encoded would cost several times as much as all the rest.
 */
export class LineWriter {
  #bytes = new Uint8Array(START_BYTES);
  #at = 0;
  #starts: number[] = [];
  #ends: number[] = [];

  /** Bytes of the lines so far. */
  get length(): number {
    return this.#at;
  }

  piece(piece: Uint8Array): void {
    const { length } = piece;
    this.#reserve(length);
    const at = this.#at;
    this.#at = at + length;
    if (length > SHORT_PIECE) return this.#bytes.set(piece, at);
    const bytes = this.#bytes;
    for (let i = 0; i < length; i++) bytes[at + i] = piece[i]!;
  }

  text(text: string): void {
    const { length } = text;
    this.#reserve(length * MAX_UNIT_BYTES);
    if (length <= SHORT && this.#ascii(text)) return;
    this.#at += ENCODER.encodeInto(text, this.#bytes.subarray(this.#at)).written;
  }

  /** False where the text is not ASCII; then nothing was written. */
  #ascii(text: string): boolean {
    const bytes = this.#bytes;
    const at = this.#at;
    const { length } = text;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > MAX_ASCII) return false;
      bytes[at + i] = unit;
    }
    this.#at = at + length;
    return true;
  }

  /** A whole number. */
  number(value: number): void {
    if (value > MAX_INT || value < -MAX_INT) return this.text(String(value));
    this.#reserve(12);
    const bytes = this.#bytes;
    let rest = value;
    if (rest < 0) {
      bytes[this.#at++] = MINUS;
      rest = -rest;
    }
    let digits = 1;
    for (let power = 10; power <= rest; power *= 10) digits++;
    let at = this.#at += digits;
    do {
      const tens = rest / 10 | 0;
      bytes[--at] = ZERO + rest - tens * 10;
      rest = tens;
    } while (rest > 0);
  }

  /** Halves of 64 bits, in hexadecimal digits without leading zeros. */
  hex(low: number, high: number): void {
    this.#reserve(16);
    if (high !== 0) {
      this.#digits(high, digitsOf(high));
      this.#digits(low, 8);
    } else {
      this.#digits(low, digitsOf(low));
    }
  }

  #digits(value: number, count: number): void {
    const bytes = this.#bytes;
    for (let shift = 4 * (count - 1); shift >= 0; shift -= 4) {
      bytes[this.#at++] = HEX_DIGITS[value >>> shift & 0xf]!;
    }
  }

  /** What has been written since the length was `start`. */
  copy(start: number): Uint8Array {
    return this.#bytes.slice(start, this.#at);
  }

  endLine(): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = NEWLINE;
    this.#starts.push(this.#ends.at(-1) ?? 0);
    this.#ends.push(this.#at);
  }

  /** The lines since the last call; they hold until the next line is begun. */
  take(): EncodedLines {
    const bytes = this.#bytes.subarray(0, this.#at);
    const lines = { bytes, starts: this.#starts, ends: this.#ends };
    this.#at = 0;
    [this.#starts, this.#ends] = [[], []];
    return lines;
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.#at + count));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
  }
}

/** Hexadecimal digits of 32 bits; one for 0. */
function digitsOf(value: number): number {
  return Math.max(1, 8 - (Math.clz32(value) >> 2));
}
