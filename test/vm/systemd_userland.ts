import { ARCHIVE_KEYRING, DebianError, debianMirrors } from "../../ffi/debian.ts";
import { CommandError, LabUnavailableError, run } from "./run.ts";

/** What a guest that only runs a service can do without. */
const LEFT_OUT = ["usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache", "var/lib/apt"];

/**
 * Installs a minimal system with systemd under `cache`, once, with the archive's signatures
 * checked.
 *
 * @returns The path of its root.
 * @throws {LabUnavailableError} This machine cannot: it takes root, debootstrap and the archive.
 */
export async function fetchSystemdUserland(suite: string, cache: string): Promise<string> {
  const dir = `${cache}/userlands/${suite}-systemd`;
  const root = `${dir}/root`;
  const done = `${dir}/done`;
  const isMade = await Deno.stat(done).then(() => true, () => false);
  if (isMade) return await Deno.realPath(root);
  if (Deno.uid() !== 0) throw new LabUnavailableError("Cannot install a system: only root can");
  await Deno.remove(dir, { recursive: true }).catch(() => {});
  await Deno.mkdir(dir, { recursive: true });
  try {
    const { main } = await debianMirrors();
    const options = ["--variant=minbase", "--include=systemd-sysv", "--force-check-gpg"];
    await run("debootstrap", [...options, `--keyring=${ARCHIVE_KEYRING}`, suite, root, main]);
  } catch (error) {
    if (!(error instanceof DebianError || error instanceof CommandError)) throw error;
    throw new LabUnavailableError(error.message);
  }
  for (const path of LEFT_OUT) await Deno.remove(`${root}/${path}`, { recursive: true });
  await Deno.writeTextFile(done, "");
  return await Deno.realPath(root);
}
