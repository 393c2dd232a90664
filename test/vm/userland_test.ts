/**
 * `dist/iouring` alone, in userlands of each Debian that have the C library and nothing else: as
 * root and as another user, on a read-only system, from a /tmp that nothing may be run from.
 */
import assert from "node:assert/strict";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { cannotCapture } from "../live/capture.ts";
import { PROGRAM, ROOT } from "../paths.ts";
import { LabUnavailableError } from "./run.ts";
import { fetchUserland, USERLANDS } from "./userlands.ts";

const OTHER_USER = 12345;

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

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: string[]): Outcome {
  const { code, stdout, stderr } = new Deno.Command(command, { args, stdin: "null" }).outputSync();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs the single file in a userland, in a mount namespace of its own. */
function runIn(
  userland: string,
  args: string[],
  { user = 0, proc = true }: { user?: number; proc?: boolean } = {},
): Outcome {
  return run("unshare", [
    ...["--mount", "sh", "-c", SCRIPT, "sh"],
    ...[userland, `${user}`, `${ROOT}dist`, `${ROOT}.cache/fixtures`, proc ? "" : ":"],
    ...["/program/iouring", ...args],
  ]);
}

/** The lines of a scan that do not depend on when and where it ran. */
function entries(stdout: string): string[] {
  return stdout.split("\n").filter((line) => line.startsWith('{"type":"IOUringEntry"'));
}

const noCapture = await cannotCapture();
const onlyCapture = noCapture === undefined ? "" : ` (${noCapture})`;
const canMount = Deno.uid() === 0 && run("unshare", ["--mount", "true"]).code === 0;

for (const suite of USERLANDS) {
  Deno.test({
    name: `dist/iouring runs in an empty userland of ${suite}` +
      (canMount ? "" : " (only root can make one)"),
    ignore: !canMount,
    async fn(t) {
      let userland: string;
      try {
        userland = await fetchUserland(suite, `${ROOT}.cache/lab`);
      } catch (error) {
        if (!(error instanceof LabUnavailableError)) throw error;
        await t.step({ name: error.message, ignore: true, fn: () => {} });
        return;
      }
      const image = imageFixtures()[0]!;
      const expected = entries(run(PROGRAM, ["scan", unpackFixture(image)]).stdout);
      assert.ok(expected.length > 0);
      for (const user of [0, OTHER_USER]) {
        await t.step(`as user ${user}`, () => {
          const version = runIn(userland, ["--version"], { user });
          assert.equal(version.stderr, "");
          assert.match(version.stdout, /^iouring \S+ \(launcher, /);
          const scan = runIn(userland, ["scan", `/run/${image}`], { user });
          assert.equal(scan.code, 0, scan.stderr);
          assert.deepEqual(entries(scan.stdout), expected);
        });
      }
      await t.step({
        name: `capture${onlyCapture}`,
        ignore: noCapture !== undefined,
        fn() {
          const { code, stdout, stderr } = runIn(userland, ["capture", "-d", "2"]);
          assert.equal(code, 0, stderr);
          assert.match(stdout, /"phase":"start".*\n(?:.*\n)*.*"phase":"end"/);
        },
      });
      await t.step("without /proc it says so", () => {
        const { code, stderr } = runIn(userland, ["--version"], { proc: false });
        assert.equal(stderr, "Cannot start: /proc is needed: No such file or directory\n");
        assert.equal(code, 1);
      });
    },
  });
}
