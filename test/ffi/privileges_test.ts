/** What `dist/iouring scan` still may do once it has begun to read an image. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { withFolder } from "./open_image.ts";

const PROGRAM = fileURLToPath(new URL("../../dist/iouring", import.meta.url));
const isRoot = Deno.uid() === 0;
const onlyRoot = isRoot ? "" : " (needs root)";

/** One thread's lines of /proc/PID/task/TID/status, by key. */
type Status = ReadonlyMap<string, string>;

/**
 * What every thread of a program holds while it writes records. More than a pipe takes wait to be
 * read, so it cannot end.
 */
async function threadsWhileScanning(command: string, args: string[]): Promise<Status[]> {
  // The fixture gives more output than a pipe holds.
  const image = unpackFixture(imageFixtures()[0]!);
  const child = new Deno.Command(command, {
    args: [...args, "scan", image],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.getReader({ mode: "byob" });
  await reader.read(new Uint8Array(1));
  const threads: Status[] = [];
  for await (const { name } of Deno.readDir(`/proc/${child.pid}/task`)) {
    const text = await Deno.readTextFile(`/proc/${child.pid}/task/${name}/status`);
    threads.push(
      new Map(
        text.split("\n").map((line) => {
          const [key = "", value = ""] = line.split(":\t");
          return [key, value.trim()];
        }),
      ),
    );
  }
  await reader.cancel();
  await child.status;
  return threads;
}

/** No thread has a capability, or can get one by running something. */
function assertUnprivileged(threads: Status[]): void {
  assert.ok(threads.length > 2, "the runtime has threads");
  for (const thread of threads) {
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) {
      assert.match(thread.get(set)!, /^0+$/, `${set} of ${thread.get("Name")}`);
    }
    assert.equal(thread.get("NoNewPrivs"), "1");
  }
}

Deno.test({
  name: `scan as root is an unused user in every thread, in no group${onlyRoot}`,
  ignore: !isRoot,
  async fn() {
    const threads = await threadsWhileScanning(PROGRAM, []);
    assertUnprivileged(threads);
    const ids = new Set(threads.flatMap((thread) => thread.get("Uid")!.split("\t")));
    assert.equal(ids.size, 1, "real, effective, saved and file system id of every thread");
    assert.ok(Number([...ids][0]) > 0x7000_0000);
    for (const thread of threads) {
      assert.equal(thread.get("Gid"), thread.get("Uid"));
      assert.equal(thread.get("Groups"), "");
    }
  },
});

Deno.test({
  name: `scan with capabilities but not as root has none left in any thread${onlyRoot}`,
  ignore: !isRoot,
  async fn() {
    const caps = "+sys_admin,+dac_read_search";
    const options = ["--reuid=12345", "--clear-groups", `--inh-caps=${caps}`];
    const threads = await threadsWhileScanning("setpriv", [
      ...options,
      `--ambient-caps=${caps}`,
      PROGRAM,
    ]);
    assertUnprivileged(threads);
    for (const thread of threads) assert.equal(thread.get("Uid")!.split("\t")[0], "12345");
  },
});

Deno.test({
  name: `scan as root writes -o and --slice where only root can${onlyRoot}`,
  ignore: !isRoot,
  fn() {
    withFolder((folder) => {
      Deno.chmodSync(folder, 0o700);
      const image = unpackFixture(imageFixtures()[0]!);
      const args = ["scan", "-o", `${folder}/rings`, "--slice", `${folder}/slice`, image];
      const { code, stderr } = new Deno.Command(PROGRAM, { args }).outputSync();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      assert.match(Deno.readTextFileSync(`${folder}/rings`), /"phase":"end".*\n$/);
      assert.ok(Deno.statSync(`${folder}/slice`).size > 1e6);
    });
  },
});

Deno.test({
  name: `scan as the only user of a namespace warns and goes on${onlyRoot}`,
  ignore: !isRoot,
  fn() {
    const image = unpackFixture(imageFixtures()[0]!);
    const args = ["--user", "--map-root-user", PROGRAM, "scan", image];
    const { code, stdout, stderr } = new Deno.Command("unshare", { args }).outputSync();
    const said = new TextDecoder().decode(stderr);
    assert.equal(code, 0, said);
    assert.match(said, /^warning: cannot give up root: [a-z ]+\n\d+ rings in /);
    assert.match(new TextDecoder().decode(stdout), /"phase":"end"/);
  },
});
