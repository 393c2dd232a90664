/**
 * Opcodes whose `fd` is the file that they work on: `needs_file` in `io_uring/opdef.c`, and CLOSE
 * and EPOLL_CTL, which look theirs up themselves. The others open, or name a directory, or nothing.
 */
const FILE_OPCODES: ReadonlySet<number> = new Set([
  1,
  2,
  3,
  4,
  5,
  6,
  8,
  9,
  10,
  13,
  16,
  17,
  19,
  22,
  23,
  24,
  26,
  27,
  29,
  30,
  33,
  34,
  40,
  41,
  43,
  46,
  47,
  48,
  49,
  54,
  55,
  56,
  57,
  58,
  59,
  60,
  61,
  64,
]);

/** Whether a request's `fd` names an open file (0 to 255; unknown opcodes do not). */
export function worksOnFile(opcode: number): boolean {
  return FILE_OPCODES.has(opcode);
}
