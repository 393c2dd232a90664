/**
 * `node:zlib`, for zstd. Importing it takes longer than starting the rest of the program, so it is
 * loaded when the first page needs it.
 */
export function zlib(): typeof import("node:zlib") {
  // deno-lint-ignore no-process-global
  return process.getBuiltinModule("node:zlib");
}
