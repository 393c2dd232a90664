/**
 * The kernels of the lab: Debian's own packages, fetched with apt from the
 * mirror this machine is configured with, and checked by the archive's
 * signatures.
 *
 * @module
 */

import { DebianError, PrivateApt } from "../../ffi/debian.ts";
import { LabUnavailableError, run } from "./run.ts";

/** One kernel the lab knows how to get. */
export interface LabKernel {
  /** The name on the command line and in directory names, such as `6.12`. */
  name: string;
  /** The suite of the archive, such as `trixie` or `trixie-backports`. */
  suite: string;
  /** The package that depends on the current image of this flavour. */
  package: string;
}

/** Every kernel that can be named. The first two are what tests use. */
export const LAB_KERNELS: readonly LabKernel[] = [
  { name: "6.1", suite: "bookworm", package: "linux-image-cloud-amd64" },
  { name: "6.12", suite: "trixie", package: "linux-image-cloud-amd64" },
  { name: "5.10", suite: "bullseye", package: "linux-image-cloud-amd64" },
  {
    name: "backports",
    suite: "trixie-backports",
    package: "linux-image-cloud-amd64",
  },
  { name: "6.1-rt", suite: "bookworm", package: "linux-image-rt-amd64" },
  { name: "6.12-rt", suite: "trixie", package: "linux-image-rt-amd64" },
];

/** What `fetchKernel()` leaves behind. */
export interface FetchedKernel {
  /** The image to boot. */
  vmlinuz: string;
  /** The directory the package was extracted to (`boot/`, `lib/modules/`). */
  root: string;
  /** Package name and version. */
  version: string;
}

/** The image lies in `boot/`, or in newer packages beside the modules. */
async function extracted(root: string): Promise<FetchedKernel | undefined> {
  try {
    const version = await Deno.readTextFile(`${root}/version`);
    const found = await run("find", [root, "-type", "f", "-name", "vmlinuz*"]);
    const vmlinuz = found.split("\n")[0];
    return vmlinuz ? { vmlinuz, root, version } : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Fetches and extracts a kernel under `cache`, once; later calls find it there.
 *
 * Image and modules lie in the packages that the flavour's meta package depends
 * on, in newer releases one dependency further.
 */
export async function fetchKernel(
  kernel: LabKernel,
  cache: string,
): Promise<FetchedKernel> {
  const dir = `${cache}/kernels/${kernel.name}`;
  const root = `${dir}/root`;
  const known = await extracted(root);
  if (known) return known;

  try {
    await download(kernel, await absolute(dir), root);
  } catch (error) {
    if (!(error instanceof DebianError)) throw error;
    throw new LabUnavailableError(error.message);
  }
  const fetched = await extracted(root);
  if (!fetched) {
    throw new LabUnavailableError(
      `Cannot get kernel "${kernel.name}": no image in what "${kernel.package}" depends on`,
    );
  }
  return fetched;
}

async function download(kernel: LabKernel, dir: string, root: string): Promise<void> {
  const apt = new PrivateApt(dir, kernel.suite);
  await apt.update();
  const found = await apt.newest(kernel.package, async (version) => {
    // What was extracted of a version that could not be had as a whole.
    await Deno.remove(root, { recursive: true }).catch(() => {});
    const names = [{ name: kernel.package, version }];
    for (const [i, one] of names.entries()) {
      if (i > 0) await apt.extract([`${one.name}=${one.version}`], root);
      for (const next of await apt.depends(one.name, one.version)) {
        if (!/^linux-(image|binary|modules)-\d/.test(next)) continue;
        if (names.some(({ name }) => name === next)) continue;
        const versions = await apt.versions(next);
        names.push({ name: next, version: versions.find((it) => it === version) ?? versions[0]! });
      }
    }
    const last = names.at(-1)!;
    return `${last.name} ${last.version}`;
  });
  await Deno.mkdir(root, { recursive: true });
  await Deno.writeTextFile(`${root}/version`, found);
}

/** A file of the kernel's debug package, where {@linkcode fetchDebug} has put it. */
export function debugFile(
  name: string,
  cache: string,
  file: "vmlinux" | "System.map" = "vmlinux",
): string {
  return `${cache}/kernels/${name}/debug/${file}`;
}

/**
 * Fetches the debug information and the symbols of the kernel that is there, once. It is large: some 300 MB to
 * fetch, 2 GB to extract and 600 MB to keep.
 */
export async function fetchDebug(kernel: LabKernel, cache: string): Promise<string> {
  const { version } = await fetchKernel(kernel, cache);
  const vmlinux = debugFile(kernel.name, cache);
  const dir = await absolute(`${cache}/kernels/${kernel.name}`);
  const known = await Deno.readTextFile(`${dir}/debug/version`).catch(() => "");
  if (known === version && await exists(`${dir}/debug/System.map`)) return vmlinux;

  const [image = "", number = ""] = version.split(" ");
  const name = `${image.replace(/^linux-(binary|modules)-/, "linux-image-")}-dbg`;
  const whole = `${dir}/debug.new`;
  try {
    const apt = new PrivateApt(dir, kernel.suite);
    await apt.update();
    await apt.extract([`${name}=${number}`], whole);
  } catch (error) {
    if (!(error instanceof DebianError)) throw error;
    throw new LabUnavailableError(error.message);
  }
  await Deno.mkdir(`${dir}/debug`, { recursive: true });
  for (const file of ["vmlinux", "System.map"]) {
    // Newer packages name the version in the path alone.
    const pattern = ["-name", file, "-o", "-name", `${file}-*`];
    const found = await run("find", [whole, "-type", "f", "(", ...pattern, ")"]);
    if (found === "") {
      throw new LabUnavailableError(`Cannot get debug files: "${name}" holds no ${file}`);
    }
    await Deno.rename(found.trim(), `${dir}/debug/${file}`);
  }
  await Deno.writeTextFile(`${dir}/debug/version`, version);
  await Deno.remove(whole, { recursive: true });
  return vmlinux;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function absolute(path: string): Promise<string> {
  await Deno.mkdir(path, { recursive: true });
  return await Deno.realPath(path);
}
