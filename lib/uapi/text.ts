import type { JsonObject, JsonValue } from "./json_value.ts";

// ignoreBOM keeps a leading U+FEFF: it is part of a path as much as any other character.
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });
const ENCODER = new TextEncoder();
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Bytes as text. */
export interface DecodedText {
  /** The text; every byte sequence that is not UTF-8 has become U+FFFD. */
  readonly text: string;
  /** The exact bytes as lower-case hex, there only when the text is not a faithful copy of them. */
  readonly hex?: string;
}

/** Bytes as lower-case hex, two digits each. */
export function bytesToHex(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += HEX[byte];
  return hex;
}

/**
 * Decodes bytes that another process chose. Control characters and NUL are valid UTF-8 and stay;
 * cutting at a NUL is the caller's affair.
 */
export function decodeText(bytes: Uint8Array): DecodedText {
  const ascii = shortAscii(bytes);
  if (ascii !== undefined) return { text: ascii };
  const text = DECODER.decode(bytes);
  // A U+FFFD that was really in the bytes encodes back to them; one that the decoder put in does
  // not.
  if (text.includes("\uFFFD") && !equal(ENCODER.encode(text), bytes)) {
    return { text, hex: bytesToHex(bytes) };
  }
  return { text };
}

/**
 * Puts `key` with the text of `bytes` into `target`. Where the text is not a faithful copy,
 * `<key>_hex` with the exact bytes follows it.
 */
export function putText<Key extends string>(
  target: { [key in Key | `${Key}_hex`]?: JsonValue },
  key: Key,
  bytes: Uint8Array,
): void {
  putDecoded(target as JsonObject, key, decodeText(bytes));
}

/** {@linkcode putText} for the name of a unix socket: an `@` stands for the NUL of an abstract one. */
export function putUnixName(target: JsonObject, key: string, name: Uint8Array): void {
  const { text, hex } = decodeText(name);
  const shown = name[0] === 0 ? `@${text.slice(1)}` : text;
  putDecoded(target, key, hex === undefined ? { text: shown } : { text: shown, hex });
}

function putDecoded(target: JsonObject, key: string, { text, hex }: DecodedText): void {
  target[key] = text;
  if (hex !== undefined) target[`${key}_hex`] = hex;
}

/**
 * The bytes before the first NUL, or all of them where there is none: what C takes as the string.
 */
export function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/**
 * Most names and paths are short ASCII, where this takes a fraction of what a TextDecoder call
 * costs.
 */
function shortAscii(bytes: Uint8Array): string | undefined {
  if (bytes.length > 64) return undefined;
  let text = "";
  for (const byte of bytes) {
    if (byte >= 0x80) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
