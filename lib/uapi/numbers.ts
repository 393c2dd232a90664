const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * A 64-bit address, cookie or mask as record text.
 *
 * @param value Any bigint; a negative one is taken as its 64-bit two's complement.
 * @returns Lower-case hex with `0x`, not padded: `"0xffff888100c4a000"`.
 */
export function hexText(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/**
 * A 64-bit length or offset as a record value.
 *
 * @param value Any bigint; a negative one is taken as its 64-bit two's complement.
 * @returns A number up to 2^53 - 1, which every JSON reader keeps exactly; above that, hex text.
 */
export function sizeValue(value: bigint): number | string {
  const unsigned = BigInt.asUintN(64, value);
  return unsigned <= MAX_EXACT ? Number(unsigned) : hexText(unsigned);
}
