import assert from "node:assert/strict";
import config from "../../deno.json" with { type: "json" };
import {
  type Missing,
  need,
  NEEDS_STRACE,
  type Outcome,
  run,
  succeeds,
  testWith,
} from "../command.ts";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { cannotCapture } from "../live/capture.ts";
import { PROGRAM, ROOT } from "../paths.ts";
import { withFolder } from "./open_image.ts";

const SIZE = Deno.statSync(PROGRAM).size;
const IMAGE = unpackFixture(imageFixtures()[0]!);

/** Runs a copy of the program that `change` was applied to. */
function runChanged(change: (path: string) => void, before: readonly string[] = []): Outcome {
  let outcome: Outcome;
  withFolder((folder) => {
    const copy = `${folder}/iouring`;
    Deno.copyFileSync(PROGRAM, copy);
    change(copy);
    const [command, ...args] = [...before, copy, "--version"];
    outcome = run(command!, args);
  });
  return outcome!;
}

function flipByte(path: string, offset: number): void {
  using file = Deno.openSync(path, { read: true, write: true });
  const byte = new Uint8Array(1);
  file.seekSync(offset, Deno.SeekMode.Start);
  file.readSync(byte);
  file.seekSync(offset, Deno.SeekMode.Start);
  byte[0]! ^= 1;
  file.writeSync(byte);
}

const DAMAGED = /^Cannot start: this file is damaged \([a-z.]+\), copy it again\n$/;

Deno.test("dist/iouring says its version and form", () => {
  const { code, stdout, stderr } = run(PROGRAM, ["--version"]);
  assert.equal(stderr, "");
  assert.ok(stdout.startsWith(`iouring ${config.version} (launcher, deno ${Deno.version.deno}, `));
  assert.equal(code, 0);
});

const NEEDS_TERMINAL = need(
  succeeds("script", "-qec", "true", "/dev/null"),
  "needs script and a terminal",
);

testWith([NEEDS_TERMINAL], "dist/iouring says nothing of its runtime on a terminal", () => {
  const { code, stdout } = run("script", ["-qec", `'${PROGRAM}' --version`, "/dev/null"]);
  assert.match(stdout, /^iouring \S+ \([^\n]*\)\r\n$/);
  assert.equal(code, 0);
});

Deno.test("dist/iouring refuses to start when truncated", () => {
  for (const size of [SIZE - 1, SIZE - 32, SIZE - 33, SIZE - 200, SIZE >> 1, 1_000_000]) {
    const { code, stdout, stderr } = runChanged((path) => Deno.truncateSync(path, size));
    assert.match(stderr, DAMAGED);
    assert.equal(stdout, "");
    assert.equal(code, 1);
  }
});

Deno.test("dist/iouring refuses to start when a byte is damaged", () => {
  // Trailer, index, libraries, a program, the runtime, and a byte of the launcher that no code is in.
  const behind = [8, 40, 400, 16_000, 2_500_000].map((bytes) => SIZE - bytes);
  const runtime = [SIZE >> 3, SIZE >> 2, SIZE >> 1, SIZE - (SIZE >> 3)];
  for (const offset of [...behind, ...runtime, 12]) {
    const { code, stdout, stderr } = runChanged((path) => flipByte(path, offset));
    assert.match(stderr, DAMAGED, `offset ${offset}`);
    assert.equal(stdout, "");
    assert.equal(code, 1);
  }
});

Deno.test("dist/iouring --verify gives the digests that sha256sum gives", () => {
  const { code, stdout } = run(PROGRAM, ["--version", "--verify"]);
  assert.equal(code, 0);
  const [version, ...parts] = stdout.trimEnd().split("\n");
  assert.match(version!, /^iouring /);
  const names = parts.map((line) => /^[0-9a-f]{64} {2}(.+)$/.exec(line)![1]!);
  assert.deepEqual(names.slice(0, 3), ["launcher", "runtime", "program"]);
  assert.equal(parts.at(-1), run("sha256sum", [PROGRAM]).stdout.trimEnd());
  const runtime = run("sha256sum", [Deno.execPath()]).stdout;
  assert.equal(parts[1]!.split(" ")[0], runtime.split(" ")[0]);
});

/** The start of a command line that runs the rest where system calls fail; see without.c. */
function without(folder: string, ...calls: string[]): string[] {
  const program = `${folder}/without`;
  const { code, stderr } = run("cc", ["-o", program, `${ROOT}test/ffi/without.c`]);
  assert.equal(code, 0, stderr);
  return [program, ...calls, "--"];
}

const EAGAIN = 11;
const ENOSYS = 38;
const CLONE = 56;
const MEMFD_CREATE = 319;
const CLONE3 = 435;
/** The first system call that Linux 5.0 did not have; all later ones have higher numbers. */
const PIDFD_SEND_SIGNAL = 424;

Deno.test("dist/iouring tells damage from a file that is whole where it can make no thread", () => {
  withFolder((folder) => {
    const before = without(folder, `${CLONE}=${EAGAIN}`, `${CLONE3}=${ENOSYS}`);
    for (const offset of [SIZE >> 3, SIZE - (SIZE >> 3)]) {
      const { stderr } = runChanged((path) => flipByte(path, offset), before);
      assert.match(stderr, DAMAGED);
    }
    // The runtime does not go on without threads.
    assert.match(runChanged(() => {}, before).stderr, /unable to create worker threads/);
  });
});

Deno.test("dist/iouring says in one line that it needs memory files", () => {
  withFolder((folder) => {
    const [command, ...start] = without(folder, `${MEMFD_CREATE}=${ENOSYS}`);
    const { code, stdout, stderr } = run(command!, [...start, PROGRAM, "--version"]);
    assert.equal(
      stderr,
      "Cannot start: memory files are needed (memfd_create): Function not implemented\n",
    );
    assert.equal(stdout, "");
    assert.equal(code, 1);
  });
});

Deno.test("scan takes no system call that is newer than Linux 5.0, and heeds no version", () => {
  withFolder((folder) => {
    // The first and the last record give times.
    const entries = (stdout: string) => stdout.trimEnd().split("\n").slice(1, -1);
    const expected = entries(run(PROGRAM, ["scan", IMAGE]).stdout);
    assert.ok(expected.length > 10);
    const [command, ...start] = without(folder, `${PIDFD_SEND_SIGNAL}+=${ENOSYS}`);
    const args = [...start, "setarch", "--uname-2.6", PROGRAM, "scan", IMAGE];
    const { code, stdout, stderr } = run(command!, args);
    assert.equal(code, 0, stderr);
    assert.ok(entries(stdout).join("\n") === expected.join("\n"), "the entries differ");
  });
});

Deno.test("dist/iouring takes nothing from LD_*, DENO_* and NODE_* variables", () => {
  withFolder((folder) => {
    const { code, stdout, stderr } = run(PROGRAM, ["--version"], {
      env: {
        // The static launcher does not heed LD_PRELOAD; the runtime that it starts would.
        LD_PRELOAD: `${folder}/none.so`,
        DENO_DIR: `${folder}/deno`,
        DENO_V8_FLAGS: "--no-such-flag",
        NODE_OPTIONS: "--no-such-flag",
        TMPDIR: folder,
      },
    });
    assert.equal(stderr, "");
    assert.match(stdout, /^iouring /);
    assert.equal(code, 0);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("dist/iouring passes arguments on as they are", () => {
  for (const args of [["--allow-none"], ["--", "a b"], ["scan", "--no-such-flag"]]) {
    const { code, stderr } = run(PROGRAM, args);
    assert.equal(code, 2);
    assert.equal(stderr.split("\n").length, 2, stderr);
  }
});

Deno.test("dist/iouring ends with 0 when its reader has gone", () => {
  const { code, stderr } = run("sh", ["-c", `{ "$0" --help; echo $? >&2; } | true`, PROGRAM]);
  assert.equal(code, 0);
  assert.equal(stderr, "0\n");
});

/** Calls on files by every thread of a command, as strace writes them. */
function fileCalls(args: readonly string[]): string[] {
  let calls: string[] = [];
  withFolder((folder) => {
    // -ff: a file for each thread, or a call could be split in two lines.
    const trace = ["-ff", "-qq", "-e", "trace=%file", "-o", `${folder}/trace`];
    const { code, stderr } = run("strace", [...trace, PROGRAM, ...args], { cwd: "/tmp" });
    assert.equal(code, 0, stderr);
    calls = [...Deno.readDirSync(folder)].flatMap(({ name }) =>
      Deno.readTextFileSync(`${folder}/${name}`).split("\n")
    );
  });
  return calls;
}

/** A call that opens or changes a file for good; one that failed did neither. */
function isWriting(call: string): boolean {
  const writing = /O_WRONLY|O_RDWR|O_CREAT|mkdir|mknod|rename|link|chmod|chown|truncate|utime/;
  return writing.test(call.replaceAll(/"[^"]*"/g, "")) && !/^readlink|= -1 E/.test(call);
}

/**
 * A call that looks at what lies where anybody can write. What is run and scanned may lie there; of
 * the folders above, and of the working directory, only the names are asked for.
 */
function isReadingWritable(call: string): boolean {
  const above = /^readlink\("([^"]*)"/.exec(call)?.[1];
  return /"\/(tmp|var\/tmp|dev\/shm)/.test(call) && !call.includes(ROOT) &&
    !call.startsWith("getcwd(") && !(above !== undefined && ROOT.startsWith(`${above}/`));
}

const TRACED: readonly [args: string[], missing: Missing][] = [
  [["--version"], undefined],
  [["scan", IMAGE], undefined],
  [["filter", "--config", "/dev/null", "/dev/null"], undefined],
  [["capture", "--format", "ndjson", "-d", "0.2"], await cannotCapture()],
];
for (const [args, missing] of TRACED) {
  testWith(
    [NEEDS_STRACE, missing],
    `dist/iouring ${args[0]} writes no file, and reads nothing where anybody can write`,
    () => {
      const calls = fileCalls(args);
      assert.deepEqual(calls.filter(isWriting), []);
      assert.deepEqual(calls.filter(isReadingWritable), []);
    },
  );
}
