/**
 * Why an argument is not there.
 *
 * - `swapped`: its page is in swap
 * - `file_backed`: its page is of a mapped file and not in memory
 * - `not_in_image`: its page frame lies outside what the image holds
 * - `unmapped`: the process maps nothing there
 * - `null`: the pointer is NULL
 * - `fault`: a live read without faulting was refused
 * - `invalid`: it was read, but is too short or malformed for what it should be
 * - `not_kept`: the source (a prepared request, say) does not hold this field
 * - `not_captured`: nothing was tried
 */
export type MissingReason =
  | "swapped"
  | "file_backed"
  | "not_in_image"
  | "unmapped"
  | "null"
  | "fault"
  | "invalid"
  | "not_kept"
  | "not_captured";

/** Bytes that were read, or why they could not be. */
export type ReadResult =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly reason: MissingReason };

/**
 * Reads the memory of the process that made a request. It never throws, and never answers with more
 * bytes than asked for: where only a part is there, it answers with the reason.
 */
export interface ArgumentReader {
  /** The string at `address` without its NUL, at most PATH_MAX (4096) bytes. */
  path(address: bigint): ReadResult;
  /** The `length` bytes at `address`; `length` is at most 16384. */
  bytes(address: bigint, length: number): ReadResult;
}

const NOT_CAPTURED: ReadResult = { ok: false, reason: "not_captured" };

/** Reads nothing: for a source where all that could be had is handed over already. */
export const NO_MEMORY: ArgumentReader = {
  path: () => NOT_CAPTURED,
  bytes: () => NOT_CAPTURED,
};

/**
 * Arguments that a source may have read already. `path`, `old_path`, `new_path` and `name` (of an
 * extended attribute) are without NUL. `sockaddr` is as long as the address; it may be longer (a
 * whole sockaddr_storage) where the request's slots tell the length, and is empty for a message
 * without an address. `open_how` (24 bytes), `timespec` (16) and `epoll_event` (12, packed) are
 * laid out as in user memory, which is how the kernel keeps them too.
 */
export type ArgumentName =
  | "path"
  | "old_path"
  | "new_path"
  | "name"
  | "sockaddr"
  | "open_how"
  | "timespec"
  | "epoll_event";

/**
 * An argument that was read already: the kernel's own copy, which nobody can change behind our
 * back, unless `unverified` says that it came from user memory.
 */
export type Argument = ReadResult & { readonly unverified?: boolean };

/** Arguments read already, by name. */
export type KnownArguments = { readonly [name in ArgumentName]?: Argument };
