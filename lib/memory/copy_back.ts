/**
 * What a compressed stream means by a copy of its own output: `count` bytes to `filled` from
 * `distance` bytes before. Where the copy reaches into itself, it repeats what it writes. All of it
 * must lie in `output`.
 *
 * @returns Where the output ends now.
 */
export function copyBack(
  output: Uint8Array,
  filled: number,
  { distance, count }: { distance: number; count: number },
): number {
  if (distance >= count) {
    output.copyWithin(filled, filled - distance, filled - distance + count);
    return filled + count;
  }
  let at = filled;
  for (const end = filled + count; at < end; at++) output[at] = output[at - distance]!;
  return at;
}
