import type { JsonObject, JsonValue } from "./json_value.ts";

/** Keys of `op_info`: of a path, and of the directory that it begins at where it is relative. */
export const DIRECTORY_OF_PATH: Readonly<Record<string, string>> = {
  path: "dfd",
  old_path: "old_dfd",
  new_path: "new_dfd",
};

/** Whether a request takes the directory for the root: openat2(2), RESOLVE_IN_ROOT. */
export function isInDirectory({ resolve }: { readonly resolve?: unknown }): boolean {
  return typeof resolve === "string" && resolve.includes("RESOLVE_IN_ROOT");
}

/** A path through an open file of the process: proc(5), `/proc/self/fd`. */
const THROUGH = /^\/(?:proc\/(?:self|thread-self)|dev)\/fd\/(\d{1,7})(?=\/|$)/;

/** The descriptor that a path leads through, and how much of the path names it. */
export function descriptorInPath(path: string): { fd: number; length: number } | undefined {
  const match = THROUGH.exec(path);
  return match === null ? undefined : { fd: Number(match[1]), length: match[0].length };
}

/** An `op_info` with the directories that its paths begin at. */
export interface WithDirectories {
  readonly info: { readonly [key: string]: JsonValue };
  /** The keys that were added, without those of raw bytes. */
  readonly added: readonly string[];
}

/**
 * Adds `dfd_path`, `old_dfd_path` and `new_dfd_path`: what the descriptors are open on that the
 * request's relative paths begin at. An absolute path has none, whatever its descriptor says, unless
 * the request takes the directory for the root, or the path itself leads through a descriptor.
 *
 * @param describe What `key`'s descriptor is open on, as in `op_info.target`; undefined where that
 * is not known.
 */
export function withDirectories(
  info: { readonly [key: string]: JsonValue },
  describe: (key: string, fd: number) => JsonObject | undefined,
): WithDirectories {
  let all: { [key: string]: JsonValue } | undefined;
  const added: string[] = [];
  for (const [pathKey, key] of Object.entries(DIRECTORY_OF_PATH)) {
    const { [pathKey]: path, [key]: start } = info;
    if (typeof path !== "string") continue;
    const isAbsolute = path.startsWith("/") && !isInDirectory(info);
    const fd = isAbsolute ? descriptorInPath(path)?.fd : start;
    if (typeof fd !== "number") continue;
    const open = describe(key, fd);
    if (typeof open?.path !== "string" || open.path === "" || open.partial === true) continue;
    all ??= { ...info };
    all[`${key}_path`] = open.path;
    if (open.path_hex !== undefined) all[`${key}_path_hex`] = open.path_hex;
    added.push(`${key}_path`);
  }
  return { info: all ?? info, added };
}
