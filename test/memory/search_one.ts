import type { ByteSource, SearchOptions, SearchPattern } from "../../lib/memory/image_file.ts";

/** Where one pattern is. */
export function searchOne(
  source: Pick<ByteSource, "search">,
  bytes: Uint8Array,
  { align = 1, phase = 0, ...options }: SearchOptions & Omit<SearchPattern, "bytes"> = {},
): number[] {
  return source.search([{ bytes, align, phase }], options)[0]!;
}
