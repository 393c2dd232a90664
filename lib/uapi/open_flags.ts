import { FLAG_SEPARATOR, type FlagTable, flagText } from "./flags.ts";

const O_ACCMODE = 0o3;
const O_CREAT = 0o100;
const O_LARGEFILE = 0o100000;
const O_DIRECTORY = 0o200000;
const O_NOFOLLOW = 0o400000;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const TMPFILE_BIT = 0o20000000;

const ACCESS_MODES: readonly string[] = ["O_RDONLY", "O_WRONLY", "O_RDWR"];

/**
 * The model's names in the model's order. Two of its values hold another's bit as well, and then
 * both are printed: `"O_DSYNC | O_SYNC"`, `"O_DIRECTORY | O_TMPFILE"`.
 *
 * Source: include/uapi/asm-generic/fcntl.h, which x86-64 uses unchanged.
 */
const CREATION_FLAGS: FlagTable = [
  [O_CREAT, "O_CREAT"],
  [0o200, "O_EXCL"],
  [0o400, "O_NOCTTY"],
  [0o1000, "O_TRUNC"],
  [0o2000, "O_APPEND"],
  [0o4000, "O_NONBLOCK"],
  [0o10000, "O_DSYNC"],
  [0o20000, "O_FASYNC"],
  [0o40000, "O_DIRECT"],
  [O_LARGEFILE, "O_LARGEFILE"],
  [O_DIRECTORY, "O_DIRECTORY"],
  [O_NOFOLLOW, "O_NOFOLLOW"],
  [0o1000000, "O_NOATIME"],
  [O_CLOEXEC, "O_CLOEXEC"],
  [0o4010000, "O_SYNC"],
  [O_PATH, "O_PATH"],
  [TMPFILE_BIT | O_DIRECTORY, "O_TMPFILE"],
];

/** `open_how.resolve`. Source: include/uapi/linux/openat2.h. */
const RESOLVE_FLAGS: FlagTable = [
  [0x01, "RESOLVE_NO_XDEV"],
  [0x02, "RESOLVE_NO_MAGICLINKS"],
  [0x04, "RESOLVE_NO_SYMLINKS"],
  [0x08, "RESOLVE_BENEATH"],
  [0x10, "RESOLVE_IN_ROOT"],
  [0x20, "RESOLVE_CACHED"],
];

/** How a file is to be opened: what the kernel has in `io_open.how`. */
export interface OpenHow {
  /** `O_*` bits, the lower 32. */
  readonly flags: number;
  /** Permission bits of a file that is made, 0 where none is. */
  readonly mode: bigint;
}

/**
 * The access mode by name: `"O_RDONLY"`, `"O_WRONLY"`, `"O_RDWR"`, or `""` for the value 3, which
 * is none of them.
 */
export function accessFlags(flags: number): string {
  return ACCESS_MODES[flags & O_ACCMODE] ?? "";
}

/**
 * All other flags by name: `"O_CREAT | O_TRUNC | O_LARGEFILE"`. Bits without a name are left out,
 * as the model does.
 */
export function creationFlags(flags: number): string {
  let text = "";
  for (const [mask, name] of CREATION_FLAGS) {
    if ((flags & mask) === mask) text += text === "" ? name : FLAG_SEPARATOR + name;
  }
  return text;
}

/** Whether these flags may make a file, so that a mode means something. */
export function createsFile(flags: number): boolean {
  return (flags & (O_CREAT | TMPFILE_BIT)) !== 0;
}

/** `RESOLVE_*` names of an openat2 request's lower 32 resolve bits. */
export function resolveFlags(resolve: number): string {
  return flagText(resolve, RESOLVE_FLAGS);
}

/** Permission bits in octal, at least four digits: `"0644"`. */
export function modeText(mode: bigint | number): string {
  return mode.toString(8).padStart(4, "0");
}

/**
 * What the kernel makes of an OPENAT request's flags and mode; the same again for what it has
 * already made.
 *
 * Unknown flags are dropped; O_PATH drops all but O_DIRECTORY, O_NOFOLLOW and O_CLOEXEC; a mode
 * counts only where a file may be made (`build_open_how`, fs/open.c). Then, but not with O_PATH,
 * O_LARGEFILE is added on 64-bit kernels (`__io_openat_prep`, io_uring/openclose.c).
 */
export function openatHow(flags: number, mode: number): OpenHow {
  let kept = flags & VALID_OPEN_FLAGS;
  if ((kept & O_PATH) !== 0) kept &= O_PATH_FLAGS;
  return { flags: withLargefile(kept), mode: createsFile(kept) ? BigInt(mode & 0o7777) : 0n };
}

/**
 * What the kernel makes of an OPENAT2 request's `open_how`. It drops nothing (unknown bits make the
 * request fail), but the same function adds O_LARGEFILE here too.
 */
export function openat2How(flags: number, mode: bigint): OpenHow {
  return { flags: withLargefile(flags), mode };
}

const O_PATH_FLAGS = O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC;

/** VALID_OPEN_FLAGS of include/linux/fcntl.h: the access mode and every bit named above. */
const VALID_OPEN_FLAGS = CREATION_FLAGS.reduce((bits, [mask]) => bits | mask, O_ACCMODE);

function withLargefile(flags: number): number {
  return (flags & O_PATH) !== 0 ? flags : flags | O_LARGEFILE;
}
