const SPACE = 0x20;

/**
 * The arguments after argv[0], separated by spaces.
 *
 * @param argv As in `/proc/PID/cmdline`: each argument with its NUL.
 */
export function argumentsText(argv: Uint8Array): Uint8Array {
  const first = argv.indexOf(0);
  if (first < 0) return new Uint8Array();
  let end = argv.length;
  while (end > first + 1 && argv[end - 1] === 0) end--;
  return argv.slice(first + 1, end).map((byte) => byte === 0 ? SPACE : byte);
}
