import type { ReadBytes } from "../../lib/record/line_reader.ts";

/** Reads `bytes` from their start, at most `most` at a time. */
export function readBytes(bytes: Uint8Array, most = Infinity): ReadBytes {
  let at = 0;
  return (buffer) => {
    const part = bytes.subarray(at, at + Math.min(most, buffer.length));
    buffer.set(part);
    at += part.length;
    return Promise.resolve(part.length === 0 ? null : part.length);
  };
}
