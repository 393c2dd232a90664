const SLASH = 0x2f;

/**
 * An absolute path of any bytes.
 *
 * @param names Its components from the last to the first, as a walk to the root finds them.
 * @returns The path with its leading slash; `"/"` for none.
 */
export function joinNames(names: readonly Uint8Array[]): Uint8Array {
  if (names.length === 0) return Uint8Array.of(SLASH);
  const path = new Uint8Array(names.reduce((sum, name) => sum + name.length + 1, 0));
  let at = 0;
  for (const name of names.toReversed()) {
    path[at++] = SLASH;
    path.set(name, at);
    at += name.length;
  }
  return path;
}

/** What comes after the last slash. */
export function baseName(path: Uint8Array): Uint8Array {
  return path.subarray(path.lastIndexOf(SLASH) + 1);
}
