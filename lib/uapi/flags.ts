/**
 * Bits and their names, in the order they are printed. A mask may hold several bits; the first
 * entry whose bits are all set takes them, so combined names come before their parts.
 */
export type FlagTable = readonly (readonly [mask: number, name: string])[];

/** What stands between two flag names in a text. */
export const FLAG_SEPARATOR = " | ";

/**
 * The names of the bits set in `value`.
 *
 * @param value An unsigned 32-bit value; a negative one is taken as its two's complement.
 * @param table The names.
 * @returns The names in table order; bits that no entry takes follow as one hex number, so that
 * none is dropped.
 */
export function flagNames(value: number, table: FlagTable): string[] {
  const names: string[] = [];
  let rest = value >>> 0;
  for (const [mask, name] of table) {
    if ((rest & mask) >>> 0 === mask) {
      names.push(name);
      rest = (rest & ~mask) >>> 0;
    }
  }
  if (rest !== 0) names.push(`0x${rest.toString(16)}`);
  return names;
}

/** The names of {@linkcode flagNames} as one text, joined by `" | "`; `""` when no bit is set. */
export function flagText(value: number, table: FlagTable): string {
  return flagNames(value, table).join(FLAG_SEPARATOR);
}
