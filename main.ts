import { BUILD_INFO } from "./ffi/build_info.ts";
import { DenoHost } from "./ffi/host.ts";
import { locateLibraries } from "./ffi/libraries.ts";
import { run } from "./lib/cli/run.ts";

let code: number;
try {
  const { libraries, argv } = locateLibraries(BUILD_INFO.form, Deno.args);
  const host = new DenoHost({ build: BUILD_INFO, libraries });
  code = await run(argv, host);
} catch (error) {
  code = 1;
  const message = error instanceof Error ? error.message : String(error);
  try {
    Deno.stderr.writeSync(
      new TextEncoder().encode(`Internal error: ${message.split("\n")[0]}\n`),
    );
  } catch {
    // Nobody left to tell.
  }
}
Deno.exit(code);
