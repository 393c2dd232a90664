/**
 * The form of the single file, as launcher.c describes and reads it.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { crc32c } from "../lib/memory/crc32c.ts";

/** Something that the file carries. */
export interface Part {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const MAGIC = "IOURING1";
const PAGE_BYTES = 4096;
const NAME_BYTES = 24;
const ENTRY_BYTES = 80;
const TRAILER_BYTES = 32;

/** The file of these parts, of which the first is the launcher and the second the runtime. */
export function packParts(parts: readonly Part[]): Uint8Array {
  const [launcher, ...others] = parts;
  // The runtime is mapped out of the file, so it starts on a page.
  const padded = new Uint8Array(Math.ceil(launcher!.bytes.length / PAGE_BYTES) * PAGE_BYTES);
  padded.set(launcher!.bytes);
  const all = [{ ...launcher!, bytes: padded }, ...others];

  const index = new Uint8Array(all.length * ENTRY_BYTES);
  const indexOffset = all.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const file = new Uint8Array(indexOffset + index.length + TRAILER_BYTES);
  let offset = 0;
  for (const [i, { name, bytes }] of all.entries()) {
    const entry = index.subarray(i * ENTRY_BYTES, (i + 1) * ENTRY_BYTES);
    const view = new DataView(entry.buffer, entry.byteOffset);
    new TextEncoder().encodeInto(name, entry.subarray(0, NAME_BYTES - 1));
    view.setBigUint64(24, BigInt(offset), true);
    view.setBigUint64(32, BigInt(bytes.length), true);
    view.setUint32(40, checksum(bytes), true);
    entry.set(createHash("sha256").update(bytes).digest(), 48);
    file.set(bytes, offset);
    offset += bytes.length;
  }
  file.set(index, indexOffset);
  const trailer = new DataView(file.buffer, indexOffset + index.length);
  new TextEncoder().encodeInto(MAGIC, new Uint8Array(file.buffer, trailer.byteOffset));
  trailer.setBigUint64(8, BigInt(file.length), true);
  trailer.setBigUint64(16, BigInt(indexOffset), true);
  trailer.setUint32(24, all.length, true);
  trailer.setUint32(28, checksum(index), true);
  return file;
}

/** The CRC32C of the CRC32Cs of four quarters: each but the last a multiple of 8 bytes long. */
function checksum(bytes: Uint8Array): number {
  const quarter = Math.floor(bytes.length / 32) * 8;
  const sums = new DataView(new ArrayBuffer(16));
  for (let i = 0; i < 4; i++) {
    const end = i === 3 ? bytes.length : (i + 1) * quarter;
    sums.setUint32(4 * i, crc32c(bytes.subarray(i * quarter, end)), true);
  }
  return crc32c(new Uint8Array(sums.buffer));
}
