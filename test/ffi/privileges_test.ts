/** What `dist/iouring` still may do once it has begun to read what others wrote. */
import assert from "node:assert/strict";
import {
  need,
  NEEDS_ROOT,
  NEEDS_STRACE,
  NEEDS_USER_NAMESPACE,
  run,
  succeeds,
  testWith,
} from "../command.ts";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { cannotCapture } from "../live/capture.ts";
import { PROGRAM } from "../paths.ts";
import { withFolder } from "./open_image.ts";

/** One thread's lines of /proc/PID/task/TID/status, by key. */
type Status = ReadonlyMap<string, string>;

/** An image that gives more records than a pipe holds, so that a scan waits to be read. */
const IMAGE = unpackFixture(imageFixtures()[0]!);

/** Runs `body` with copies of the program and the image that every user can read. */
async function withCopies(body: (program: string, image: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.chmod(folder, 0o755);
    await Deno.copyFile(PROGRAM, `${folder}/iouring`);
    await Deno.copyFile(IMAGE, `${folder}/image`);
    await body(`${folder}/iouring`, `${folder}/image`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What every thread of a program holds when its first record has come. */
async function threadsOf([command, ...args]: string[]): Promise<Status[]> {
  const child = new Deno.Command(command!, { args, stdout: "piped", stderr: "null" }).spawn();
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
  child.kill("SIGTERM");
  await reader.cancel();
  await child.status;
  return threads;
}

const USER = 12345;
/** The start of a command line that runs the rest as another user. */
const AS_USER = ["setpriv", `--reuid=${USER}`, "--clear-groups"];

/** The start of one that also gives these capabilities. */
function withCapabilities(...names: string[]): string[] {
  const list = names.map((name) => `+${name}`).join(",");
  return [...AS_USER, `--inh-caps=${list}`, `--ambient-caps=${list}`];
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

testWith([NEEDS_ROOT], "scan as root is an unused user in every thread, in no group", async () => {
  assertNobody(await threadsOf([PROGRAM, "scan", IMAGE]));
});

/** Every thread is one user that nothing else is, and in no group. */
function assertNobody(threads: Status[]): void {
  assertUnprivileged(threads);
  const ids = new Set(threads.flatMap((thread) => thread.get("Uid")!.split("\t")));
  assert.equal(ids.size, 1, "real, effective, saved and file system id of every thread");
  assert.ok(Number([...ids][0]) > 0x7000_0000);
  for (const thread of threads) {
    assert.equal(thread.get("Gid"), thread.get("Uid"));
    assert.equal(thread.get("Groups"), "");
  }
}

const NO_CAPTURE = await cannotCapture();

testWith(
  [NO_CAPTURE],
  "capture as root is an unused user in every thread once attached",
  async () => {
    assertNobody(await threadsOf([PROGRAM, "capture", "--format", "ndjson"]));
  },
);

/** Every thread is the user that the program was started as, and has nothing else. */
function assertSameUser(threads: Status[]): void {
  assertUnprivileged(threads);
  for (const thread of threads) assert.equal(thread.get("Uid")!.split("\t")[0], `${USER}`);
}

testWith(
  [NO_CAPTURE],
  "capture by CAP_BPF and CAP_PERFMON alone has neither once attached",
  () =>
    withCopies(async (program) => {
      const start = withCapabilities("bpf", "perfmon");
      assertSameUser(await threadsOf([...start, program, "capture"]));
    }),
);

const NEEDS_SETCAP = need(succeeds("setcap", "-h"), "needs setcap");

testWith(
  [NO_CAPTURE, NEEDS_SETCAP],
  "capture by capabilities of its file has none once attached",
  () =>
    withCopies(async (program) => {
      assert.ok(succeeds("setcap", "cap_bpf,cap_perfmon=ep", program));
      assertSameUser(await threadsOf([...AS_USER, program, "capture"]));
    }),
);

testWith(
  [NEEDS_ROOT, NEEDS_SETCAP],
  "scan by capabilities of its file has none in any thread",
  () =>
    withCopies(async (program, image) => {
      assert.ok(succeeds("setcap", "cap_sys_admin,cap_dac_override=ep", program));
      assertSameUser(await threadsOf([...AS_USER, program, "scan", image]));
    }),
);

testWith(
  [NEEDS_ROOT],
  "scan with capabilities but not as root has none left in any thread",
  () =>
    withCopies(async (program, image) => {
      const start = withCapabilities("sys_admin", "syslog");
      assertSameUser(await threadsOf([...start, program, "scan", image]));
    }),
);

testWith(
  [NO_CAPTURE, NEEDS_STRACE],
  "capture calls bpf(2) no more once it has given up root",
  () => {
    withFolder((folder) => {
      // A condition on the executable makes it tell the kernel what it decided.
      const config = "process_filter: { deny_list: true, binary: { name: [nothing] } }\n";
      Deno.writeTextFileSync(`${folder}/config`, config);
      const trace = ["-f", "-qq", "-e", "trace=bpf,setresuid", "-o", `${folder}/trace`];
      const args = [PROGRAM, "capture", "-c", `${folder}/config`, "-d", "3"];
      const { code, stderr } = run("strace", [...trace, ...args]);
      assert.equal(code, 0, stderr);
      const calls = Deno.readTextFileSync(`${folder}/trace`);
      const [before, after] = calls.split(/^.*setresuid\(.*$/m);
      assert.match(before!, /BPF_PROG_LOAD/);
      assert.doesNotMatch(after!, /bpf\(/);
    });
  },
);

testWith([NEEDS_ROOT], "scan as root writes -o and --slice where only root can", () => {
  withFolder((folder) => {
    Deno.chmodSync(folder, 0o700);
    const args = ["scan", "-o", `${folder}/rings`, "--slice", `${folder}/slice`, IMAGE];
    const { code, stderr } = run(PROGRAM, args);
    assert.equal(code, 0, stderr);
    assert.match(Deno.readTextFileSync(`${folder}/rings`), /"phase":"end".*\n$/);
    assert.ok(Deno.statSync(`${folder}/slice`).size > 1e6);
  });
});

testWith([NEEDS_USER_NAMESPACE], "scan as the only user of a namespace warns and goes on", () => {
  const args = ["--user", "--map-root-user", PROGRAM, "scan", IMAGE];
  const { code, stdout, stderr } = run("unshare", args);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^warning: cannot give up root: [a-z ]+\n\d+ rings in /);
  assert.match(stdout, /"phase":"end"/);
});
