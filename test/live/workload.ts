import { run } from "../vm/run.ts";

const SOURCE = `${import.meta.dirname}/workload.c`;
const FOLDER = `${import.meta.dirname}/../../.cache/live`;

/**
 * Builds the workload, unless it is newer than its source.
 *
 * @returns Its path.
 */
export async function buildWorkload(options: { static?: boolean } = {}): Promise<string> {
  const output = `${FOLDER}/workload${options.static ? "-static" : ""}`;
  await Deno.mkdir(FOLDER, { recursive: true });
  const [source, built] = await Promise.all([
    Deno.stat(SOURCE),
    Deno.stat(output).catch(() => undefined),
  ]);
  if (built === undefined || built.mtime! < source.mtime!) {
    const link = options.static ? ["-static"] : [];
    const fresh = `${output}.${Deno.pid}`;
    await run("cc", [
      "-std=gnu11",
      "-O2",
      "-Wall",
      "-pthread",
      ...link,
      SOURCE,
      "-o",
      fresh,
      "-l:liburing.a",
    ]);
    await Deno.rename(fresh, output);
  }
  return output;
}
