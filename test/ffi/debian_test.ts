import assert from "node:assert/strict";
import { ARCHIVE_KEYRING, DebianError, PrivateApt } from "../../ffi/debian.ts";
import { need, NEEDS_MOUNTS, run, testWith } from "../command.ts";
import { ROOT } from "../paths.ts";
import { withFolder } from "./open_image.ts";

const SUITE = "bookworm";

/** Whether the archive answers; its lists are those that the build has fetched. */
async function hasArchive(): Promise<boolean> {
  try {
    await new PrivateApt(`${ROOT}.cache/packages/${SUITE}`, SUITE).update();
    return true;
  } catch (error) {
    if (error instanceof DebianError) return false;
    throw error;
  }
}

testWith(
  [NEEDS_MOUNTS, need(await hasArchive(), "needs the Debian archive")],
  "PrivateApt takes nothing from an archive that Debian's keys did not sign",
  () =>
    withFolder((folder) => {
      const script = `
        import { PrivateApt } from ${JSON.stringify(import.meta.resolve("../../ffi/debian.ts"))};
        await new PrivateApt("${folder}", "${SUITE}").update();
      `;
      Deno.writeTextFileSync(`${folder}/update.ts`, script);
      // In this namespace Debian has no keys.
      const command = `mount --bind /dev/null ${ARCHIVE_KEYRING} && exec "$0" run -A "$1"`;
      const args = ["--mount", "sh", "-c", command, Deno.execPath(), `${folder}/update.ts`];
      const { code, stderr } = run("unshare", args, { env: { NO_COLOR: "1" } });
      assert.notEqual(code, 0);
      assert.match(stderr, /DebianError: Cannot get packages: apt-get update failed: .*not signed/);
    }),
);
