/**
 * What a failed operation is called in a message.
 *
 * @module
 */

/** Plain words for the error codes that files give. */
const STATES: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EDQUOT: "disk quota exceeded",
  EEXIST: "file exists",
  EFBIG: "file too large",
  EINVAL: "the file does not support it",
  EIO: "input/output error",
  EISDIR: "is a directory",
  ELOOP: "too many symbolic links",
  EMFILE: "too many open files",
  ENAMETOOLONG: "the name is too long",
  ENOENT: "no such file",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory on the way to it",
  ENXIO: "no such device",
  EPERM: "not permitted",
  EROFS: "read-only file system",
  ETXTBSY: "the file is being executed",
};

/** The state that an error of Deno's or of a shim stands for, in the program's own words. */
export function stateOf(error: unknown): string {
  return STATES[errorCode(error)] ?? (error instanceof Error ? error.message : String(error));
}

/** The name of the error number behind an error, such as "EIO"; "" where there is none. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return "";
  if ("code" in error && typeof error.code === "string") return error.code;
  if (error instanceof Deno.errors.WouldBlock) return "EAGAIN";
  if (error instanceof Deno.errors.Interrupted) return "EINTR";
  if (error instanceof Deno.errors.BrokenPipe) return "EPIPE";
  return "";
}
