import config from "../deno.json" with { type: "json" };
import type { BuildInfo } from "../lib/cli/host.ts";

declare global {
  /** Set by the first line of a bundle that `build.ts` made; absent when run from source. */
  var IOURING_BUILD:
    | { readonly form: string; readonly build: string; readonly libbpf: string }
    | undefined;
}

/** How this program was made, as `build.ts` wrote it into the bundle. */
export const BUILD_INFO: BuildInfo = {
  version: config.version,
  form: globalThis.IOURING_BUILD?.form ?? "source",
  build: globalThis.IOURING_BUILD?.build ?? "unknown",
  deno: Deno.version.deno,
  libbpf: globalThis.IOURING_BUILD?.libbpf ?? "unknown",
};
