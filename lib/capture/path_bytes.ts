const SLASH = 0x2f;

/**
 * A path from its components.
 *
 * @param bytes The components from the last to the first, each with its NUL.
 * @returns The path with its leading slash; `"/"` for none.
 */
export function pathFromComponents(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0) return Uint8Array.of(SLASH);
  const path = new Uint8Array(bytes.length);
  let at = 0;
  // Each component and its NUL become a slash and the component.
  for (let end = bytes.length - 1; end >= 0;) {
    // A negative index would count from the end.
    const start = end === 0 ? 0 : bytes.lastIndexOf(0, end - 1) + 1;
    path[at++] = SLASH;
    path.set(bytes.subarray(start, end), at);
    at += end - start;
    end = start - 1;
  }
  return path;
}

/** What comes after the last slash. */
export function baseName(path: Uint8Array): Uint8Array {
  return path.subarray(path.lastIndexOf(SLASH) + 1);
}
