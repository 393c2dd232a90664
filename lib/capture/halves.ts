/**
 * Values of 64 bits as two halves: a bigint of each would cost more than all the rest of a record.
 *
 * @module
 */

const TWO_32 = 2 ** 32;

/** A time in ns, exact for the first 104 days after boot. */
export function nsAt(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * TWO_32 + view.getUint32(at, true);
}

/** The lower half, signed, as what fits 31 bits and a sign is found faster in a map. */
export function lowerHalf(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}

const UNPADDED = Array.from({ length: 256 }, (_, byte) => byte.toString(16));
const HEX = UNPADDED.map((digits) => digits.padStart(2, "0"));

/** Unpadded hex text. Number.toString(16) takes several times as long. */
export function hexOf(low: number, high: number): string {
  if (high === 0) return `0x${unpadded(low)}`;
  return `0x${unpadded(high)}${HEX[low >>> 24]}${HEX[low >>> 16 & 0xff]}${HEX[low >>> 8 & 0xff]}${
    HEX[low & 0xff]
  }`;
}

function unpadded(value: number): string {
  if (value <= 0xff) return UNPADDED[value]!;
  if (value <= 0xffff) return `${UNPADDED[value >>> 8]}${HEX[value & 0xff]}`;
  return value.toString(16);
}
