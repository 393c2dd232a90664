/**
 * `dist/iouring` alone, in userlands of each Debian that have the C library and nothing else: as
 * root and as another user, on a read-only system, from a /tmp that nothing may be run from.
 */
import assert from "node:assert/strict";
import { basename, dirname } from "node:path";
import { NEEDS_MOUNTS, type Outcome, run } from "../command.ts";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { cannotCapture } from "../live/capture.ts";
import { PROGRAM, ROOT } from "../paths.ts";
import { labTest } from "./lab_case.ts";
import { LabUnavailableError } from "./run.ts";
import { fetchUserland, USERLANDS } from "./userlands.ts";

const OTHER_USER = 12345;
/** What is scanned. */
const IMAGE = unpackFixture(imageFixtures()[0]!);

/** Runs its arguments in the userland $1, which nobody can write to. */
const SCRIPT = `
set -e
root=$1 user=$2 dist=$3 images=$4 proc=$5
shift 5
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$dist" "$root/program"
mount --bind "$images" "$root/run"
$proc mount -t proc proc "$root/proc"
mount -t tmpfs -o ro,noexec tmpfs "$root/tmp"
mount --bind /sys "$root/sys"
exec env -i unshare --root="$root" --wd=/tmp --setgid="$user" --setuid="$user" -- "$@"
`;

/** Runs the single file in a userland, in a mount namespace of its own. */
function runIn(
  userland: string,
  args: string[],
  { user = 0, proc = true }: { user?: number; proc?: boolean } = {},
): Outcome {
  return run("unshare", [
    ...["--mount", "sh", "-c", SCRIPT, "sh"],
    ...[userland, `${user}`, `${ROOT}dist`, dirname(IMAGE), proc ? "" : ":"],
    ...["/program/iouring", ...args],
  ]);
}

/** The lines of a scan that do not depend on when and where it ran. */
function entries(stdout: string): string[] {
  return stdout.split("\n").filter((line) => line.startsWith('{"type":"IOUringEntry"'));
}

/** The userland of a release, where it can be entered. */
async function enterableUserland(suite: string): Promise<string> {
  if (NEEDS_MOUNTS !== undefined) throw new LabUnavailableError(NEEDS_MOUNTS);
  return await fetchUserland(suite, `${ROOT}.cache/lab`);
}

const noCapture = await cannotCapture();

for (const suite of USERLANDS) {
  const make = () => enterableUserland(suite);

  for (const user of [0, OTHER_USER]) {
    await labTest(
      `dist/iouring runs in an empty userland of ${suite} as user ${user}`,
      make,
      (userland) => {
        const version = runIn(userland, ["--version"], { user });
        assert.equal(version.stderr, "");
        assert.match(version.stdout, /^iouring \S+ \(launcher, /);
        const expected = entries(run(PROGRAM, ["scan", IMAGE]).stdout);
        assert.ok(expected.length > 0);
        const scan = runIn(userland, ["scan", `/run/${basename(IMAGE)}`], { user });
        assert.equal(scan.code, 0, scan.stderr);
        assert.deepEqual(entries(scan.stdout), expected);
      },
    );
  }

  await labTest(
    `capture runs in an empty userland of ${suite}`,
    make,
    (userland) => {
      const { code, stdout, stderr } = runIn(userland, ["capture", "-d", "2"]);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /"phase":"start".*\n(?:.*\n)*.*"phase":"end"/);
    },
    [noCapture],
  );

  await labTest(
    `dist/iouring says that it needs /proc in a userland of ${suite}`,
    make,
    (userland) => {
      const { code, stderr } = runIn(userland, ["--version"], { proc: false });
      assert.equal(stderr, "Cannot start: /proc is needed: No such file or directory\n");
      assert.equal(code, 1);
    },
  );
}
