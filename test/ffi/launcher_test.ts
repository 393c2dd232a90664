import assert from "node:assert/strict";
import config from "../../deno.json" with { type: "json" };
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { PROGRAM, ROOT } from "../paths.ts";
import { withFolder } from "./open_image.ts";

const SIZE = Deno.statSync(PROGRAM).size;

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, args: string[], env: Record<string, string> = {}): Outcome {
  const { code, stdout, stderr } = new Deno.Command(program, { args, env }).outputSync();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs a copy of the program that `change` was applied to. */
function runChanged(change: (path: string) => void): Outcome {
  let outcome: Outcome;
  withFolder((folder) => {
    const copy = `${folder}/iouring`;
    Deno.copyFileSync(PROGRAM, copy);
    change(copy);
    outcome = run(copy, ["--version"]);
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

const DAMAGED = /^Cannot start: this file is damaged \([a-z]+\), copy it again\n$/;

Deno.test("dist/iouring says its version and form", () => {
  const { code, stdout, stderr } = run(PROGRAM, ["--version"]);
  assert.equal(stderr, "");
  assert.ok(stdout.startsWith(`iouring ${config.version} (launcher, deno ${Deno.version.deno}, `));
  assert.equal(code, 0);
});

Deno.test("dist/iouring says nothing of its runtime on a terminal", () => {
  const { code, stdout } = run("script", ["-qec", `${PROGRAM} --version`, "/dev/null"]);
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
  // Trailer, index, library, bundle, runtime, and a byte of the launcher that no code is in.
  for (const offset of [SIZE - 8, SIZE - 40, SIZE - 400, SIZE - 16_000, SIZE >> 1, 12]) {
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

Deno.test("dist/iouring says in one line that it needs memory files", () => {
  withFolder((folder) => {
    // A program that runs its arguments where memfd_create (319) fails with ENOSYS (38).
    const source = `
      #include <linux/filter.h>
      #include <linux/seccomp.h>
      #include <sys/prctl.h>
      #include <unistd.h>
      int main(int argc, char **argv) {
        struct sock_filter code[] = {
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 319, 0, 1),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 38),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { 4, code };
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
        return execv(argv[1], argv + 1);
      }`;
    Deno.writeTextFileSync(`${folder}/without.c`, source);
    assert.equal(run("cc", ["-o", `${folder}/without`, `${folder}/without.c`]).stderr, "");
    const { code, stdout, stderr } = run(`${folder}/without`, [PROGRAM, "--version"]);
    assert.equal(
      stderr,
      "Cannot start: memory files are needed (memfd_create): Function not implemented\n",
    );
    assert.equal(stdout, "");
    assert.equal(code, 1);
  });
});

Deno.test("dist/iouring takes nothing from LD_*, DENO_* and NODE_* variables", () => {
  withFolder((folder) => {
    const { code, stdout, stderr } = run(PROGRAM, ["--version"], {
      // The static launcher does not heed LD_PRELOAD; the runtime that it starts would.
      LD_PRELOAD: `${folder}/none.so`,
      DENO_DIR: `${folder}/deno`,
      DENO_V8_FLAGS: "--no-such-flag",
      NODE_OPTIONS: "--no-such-flag",
      TMPDIR: folder,
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

for (const args of [["--version"], ["scan", unpackFixture(imageFixtures()[0]!)]]) {
  Deno.test({
    name: `dist/iouring ${args[0]} writes no file, and reads nothing where anybody can write` +
      (hasStrace() ? "" : " (needs strace)"),
    ignore: !hasStrace(),
    fn() {
      withFolder((folder) => {
        // -ff: a file for each thread, or a call could be split in two lines.
        const trace = ["-ff", "-qq", "-e", "trace=%file", "-o", `${folder}/trace`];
        const { code } = new Deno.Command("strace", {
          args: [...trace, PROGRAM, ...args],
          cwd: "/tmp",
          stdout: "null",
        }).outputSync();
        assert.equal(code, 0);
        const calls = [...Deno.readDirSync(folder)].flatMap(({ name }) =>
          Deno.readTextFileSync(`${folder}/${name}`).split("\n")
        );
        const writing = /O_WRONLY|O_RDWR|O_CREAT|mkdir|rename|unlink|chmod|chown|truncate/;
        const failed = / = -1 E/;
        assert.deepEqual(calls.filter((call) => writing.test(call) && !failed.test(call)), []);
        // What is run and scanned may lie there; of the folders above, and of the working directory,
        // only the names are asked for.
        const reading = /"\/(tmp|var\/tmp|dev\/shm)/;
        const above = (call: string) => {
          const path = /^readlink\("([^"]*)"/.exec(call)?.[1];
          return path !== undefined && ROOT.startsWith(`${path}/`);
        };
        const harmless = (call: string) =>
          call.includes(ROOT) || call.startsWith("getcwd(") || above(call);
        assert.deepEqual(calls.filter((call) => reading.test(call) && !harmless(call)), []);
      });
    },
  });
}

function hasStrace(): boolean {
  try {
    return new Deno.Command("strace", { args: ["-V"], stdout: "null" }).outputSync().success;
  } catch {
    return false;
  }
}
