import { BUILD_INFO } from "./ffi/build_info.ts";
import { DenoHost } from "./ffi/host.ts";
import { locateLibraries } from "./ffi/libraries.ts";
import { run } from "./lib/cli/run.ts";

async function main(): Promise<number> {
  try {
    const { libraries, argv } = locateLibraries(BUILD_INFO.form, Deno.args);
    return await run(argv, new DenoHost({ build: BUILD_INFO, libraries }));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    try {
      Deno.stderr.writeSync(
        new TextEncoder().encode(`Internal error: ${message.split("\n")[0]}\n`),
      );
    } catch {
      // Nobody left to tell.
    }
    return 1;
  }
}

main().then(Deno.exit);
