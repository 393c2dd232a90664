/**
 * Root and capabilities, given up in every thread over `privileges.c`.
 *
 * @module
 */

import type { DroppedPrivileges } from "../lib/cli/host.ts";

const SYMBOLS = {
  // int32_t iouring_is_privileged(void)
  iouring_is_privileged: { parameters: [], result: "i32" },
  // int32_t iouring_drop_privileges(uint32_t id)
  iouring_drop_privileges: { parameters: ["u32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The native library, as {@linkcode loadPrivilegesLibrary} loaded it. */
export type PrivilegesLibrary = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Loads the shim from `path`. */
export function loadPrivilegesLibrary(path: string): PrivilegesLibrary {
  return Deno.dlopen(path, SYMBOLS).symbols;
}

/**
 * User ids that nothing hands out, by systemd's list of them: above those of containers, below
 * those that do not fit a signed number. Each process takes its own, so that two cannot trace or
 * signal each other.
 */
const FIRST_UNUSED_ID = 0x7000_0000;
/** The id of files whose owner a user namespace does not know: where that has no other id free. */
const NOBODY = 65534;

const EPERM = 1;
const EINVAL = 22;

/**
 * Gives up what the process is privileged to do, for good.
 *
 * @returns Which user it is now, or why it could not.
 */
export function dropPrivileges(library: PrivilegesLibrary, pid: number): DroppedPrivileges {
  const id = FIRST_UNUSED_ID + pid;
  let result = library.iouring_drop_privileges(id);
  if (result === 0) return { user: Deno.uid() ?? id };
  if (result === -EINVAL) {
    // A user namespace that maps few ids.
    result = library.iouring_drop_privileges(NOBODY);
    if (result === 0) return { user: NOBODY };
  }
  if (result === -EPERM) return { failed: "changing the user id is not permitted" };
  if (result === -EINVAL) return { failed: "this user namespace has no other user" };
  return { failed: `error ${-result}` };
}
