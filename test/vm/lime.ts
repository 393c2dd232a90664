/**
 * LiME, as Debian packages it, built for a kernel of the lab.
 *
 * @module
 */

import { DebianError, PrivateApt } from "../../ffi/debian.ts";
import type { FetchedKernel, LabKernel } from "./kernels.ts";
import { CommandError, LabUnavailableError, run } from "./run.ts";

/** The headers of a kernel, and what they are built with. */
const HEADERS = /^linux-(headers|kbuild)-\d/;

/**
 * Fetches LiME's source and a kernel's headers, and builds the module, once for each kernel.
 *
 * @returns The module's path.
 */
export async function buildLime(
  { name, suite }: LabKernel,
  { version }: FetchedKernel,
  cache: string,
): Promise<string> {
  const dir = await Deno.realPath(`${cache}/kernels/${name}`);
  const module = `${dir}/lime/lime.ko`;
  if (await Deno.readTextFile(`${dir}/lime/version`).catch(() => "") === version) return module;

  const [image = "", number = ""] = version.split(" ");
  const release = image.replace(/^linux-(image|binary|modules)-/, "");
  const root = `${dir}/lime/root`;
  await Deno.remove(`${dir}/lime`, { recursive: true }).catch(() => {});
  await Deno.mkdir(root, { recursive: true });
  try {
    const apt = new PrivateApt(dir, suite);
    await apt.update();
    const headers = `linux-headers-${release}`;
    const depends = await apt.depends(headers, number);
    const packages = [headers, ...depends.filter((name) => HEADERS.test(name))];
    const exact = packages.map((name) => `${name}=${number}`);
    await apt.extract(["lime-forensics-dkms", ...exact], root);
    const sources = `${root}/usr/src`;
    const common = packages.find((name) => name.endsWith("-common"));
    const lime = (await run("find", [sources, "-maxdepth", "1", "-name", "lime-*"])).trim();
    await run("make", [
      ...["-s", "-C", `${sources}/${headers}`, "-f", `${sources}/${common}/Makefile`],
      ...["CC=gcc", `M=${lime}`, "modules"],
    ]);
    await run("strip", ["--strip-debug", "-o", module, `${lime}/lime.ko`]);
  } catch (error) {
    if (!(error instanceof DebianError || error instanceof CommandError)) throw error;
    throw new LabUnavailableError(error.message);
  }
  await Deno.remove(root, { recursive: true });
  await Deno.writeTextFile(`${dir}/lime/version`, version);
  return module;
}
