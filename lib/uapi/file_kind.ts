/** File system of files that have no place: `include/uapi/linux/magic.h`. */
export const ANON_INODE_FS_MAGIC = 0x09041934;

/** Of `include/uapi/linux/stat.h`. */
const S_IFMT = 0o170000;

const KINDS: ReadonlyMap<number, string> = new Map([
  [0o010000, "pipe"],
  [0o020000, "char_device"],
  [0o040000, "directory"],
  [0o060000, "block_device"],
  [0o100000, "file"],
  // A socket's name in a file system, opened with O_PATH; an open socket is another kind.
  [0o140000, "socket_file"],
]);

/** What kind of file has this `i_mode`; undefined where the mode has none. */
export function fileKind(mode: number): string | undefined {
  return KINDS.get(mode & S_IFMT);
}
