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

const NEEDS_ARCHIVE = need(await hasArchive(), "needs the Debian archive");

testWith(
  [NEEDS_MOUNTS, NEEDS_ARCHIVE],
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

/** Lists that name a version which the archive does not have any more. */
class StaleApt extends PrivateApt {
  override async versions(name: string): Promise<string[]> {
    return ["999-1", ...await super.versions(name)];
  }
}

testWith(
  [NEEDS_ARCHIVE],
  "PrivateApt.extract() takes an older version where the archive lacks the newest, and says so",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "iouring_test_" });
    try {
      const said: string[] = [];
      const apt = new StaleApt(folder, SUITE, (line) => said.push(line));
      await apt.update();
      const [older] = await new PrivateApt(folder, SUITE).versions("zlib1g");
      // A download that was stopped in the middle.
      await Deno.mkdir(`${folder}/debs`);
      await Deno.writeTextFile(`${folder}/debs/zlib1g_1_amd64.deb`, "!<arch>");
      const files = await apt.extract(["zlib1g"], `${folder}/root`);
      assert.equal(files.length, 1);
      assert.ok(files[0]!.includes(older!.replace(/^\d+:/, "")), files[0]);
      assert.equal(said.length, 1);
      assert.match(said[0]!, /^Cannot get packages: apt-get download failed: .*999-1/);
      assert.match(said[0]!, /; trying zlib1g \S+ in place of 999-1$/);
      await assert.rejects(
        apt.newest("zlib1g", () => Promise.reject(new DebianError("Cannot get packages: no"))),
        /Cannot get packages: no$/,
      );
      await assert.rejects(apt.extract(["no-such-package"], `${folder}/root`), DebianError);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
