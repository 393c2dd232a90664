import { run } from "../vm/run.ts";

const FOLDER = `${import.meta.dirname}/../../.cache/live`;

/** Which program is built, and how. */
export interface WorkloadOptions {
  /** The name of its source in this folder; `workload` unless told. */
  readonly name?: string;
  readonly static?: boolean;
}

/**
 * Builds the workload or another program of this folder, unless it is newer than its source.
 *
 * @returns Its path.
 */
export async function buildWorkload(options: WorkloadOptions = {}): Promise<string> {
  const { name = "workload" } = options;
  const path = `${import.meta.dirname}/${name}.c`;
  const output = `${FOLDER}/${name}${options.static ? "-static" : ""}`;
  await Deno.mkdir(FOLDER, { recursive: true });
  const [source, built] = await Promise.all([
    Deno.stat(path),
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
      path,
      "-o",
      fresh,
      "-l:liburing.a",
    ]);
    await Deno.rename(fresh, output);
  }
  return output;
}
