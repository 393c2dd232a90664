import { joinNames } from "../uapi/path_bytes.ts";

/**
 * A path from its components.
 *
 * @param bytes The components from the last to the first, each with its NUL.
 * @returns The path with its leading slash; `"/"` for none.
 */
export function pathFromComponents(bytes: Uint8Array): Uint8Array {
  const names: Uint8Array[] = [];
  // What is damaged may lack the last NUL; the byte in its place is no part of a name.
  const last = bytes.length - 1;
  for (let start = 0; start <= last;) {
    const nul = bytes.indexOf(0, start);
    const end = nul < 0 ? last : nul;
    names.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return joinNames(names);
}
