/**
 * Userlands with nothing in them: of a Debian release the C library and what it depends on, so that
 * a program that starts there brings everything else itself.
 *
 * @module
 */

import { DebianError, PrivateApt } from "../../ffi/debian.ts";
import { LabUnavailableError } from "./run.ts";

/** The releases that the single file is to run on, oldest first. */
export const USERLANDS = ["bullseye", "bookworm", "trixie"] as const;

/** What an empty userland has. `libgcc-s1` is what every Debian's `libc6` depends on. */
const PACKAGES = ["libc6", "libgcc-s1"];

/** Folders to mount on; packages do not bring them. */
const FOLDERS = ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "program"];

/**
 * Makes the userland of a release under `cache`, once.
 *
 * @returns The path of its root.
 * @throws {LabUnavailableError} Its packages cannot be had.
 */
export async function fetchUserland(suite: string, cache: string): Promise<string> {
  const dir = `${cache}/userlands/${suite}`;
  const root = `${dir}/root`;
  const done = `${dir}/versions`;
  const isMade = await Deno.stat(done).then(() => true, () => false);
  if (isMade) return await Deno.realPath(root);
  // Another run may have been stopped before it was done.
  await Deno.remove(root, { recursive: true }).catch(() => {});
  await Deno.mkdir(root, { recursive: true });
  try {
    const apt = new PrivateApt(await Deno.realPath(dir), suite);
    await apt.update();
    const packages = await apt.extract(PACKAGES, root);
    for (const name of FOLDERS) await Deno.mkdir(`${root}/${name}`, { recursive: true });
    // Programs name their dynamic linker by this path; newer packages bring it below usr alone.
    const isLinked = await Deno.lstat(`${root}/lib64`).then(() => true, () => false);
    if (!isLinked) {
      await Deno.symlink("usr/lib", `${root}/lib`);
      await Deno.symlink("usr/lib64", `${root}/lib64`);
    }
    await Deno.writeTextFile(done, packages.join("\n"));
  } catch (error) {
    if (!(error instanceof DebianError)) throw error;
    throw new LabUnavailableError(error.message);
  }
  return await Deno.realPath(root);
}
