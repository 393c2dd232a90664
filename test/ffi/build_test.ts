import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { LIBRARIES } from "../../ffi/libraries.ts";
import { need, run, succeeds, testWith } from "../command.ts";
import { ROOT } from "../paths.ts";
import { withFolder } from "./open_image.ts";

/** Copies what a build needs of `source` to `folder`. */
function copySources(source: string, folder: string): void {
  mkdirSync(`${folder}/.cache`, { recursive: true });
  // What was downloaded once is not downloaded again.
  const packages = `${ROOT}.cache/packages`;
  if (existsSync(packages)) symlinkSync(packages, `${folder}/.cache/packages`);
  for (const part of ["deno.json", "deno.lock", "LICENSE", "main.ts", "lib", "ffi", "bpf"]) {
    cpSync(`${source}/${part}`, `${folder}/${part}`, { recursive: true });
  }
}

interface Built {
  readonly code: number;
  /** What it said, on both streams. */
  readonly said: string;
  /** The SHA-256 of what it made. */
  readonly digest: string;
}

/** Builds in `folder`, with a command before it if need be. */
function build(
  folder: string,
  { args = [], env = {}, before = [] }: {
    args?: string[];
    env?: Record<string, string>;
    before?: string[];
  } = {},
): Built {
  const [command, ...rest] = [...before, Deno.execPath(), "task", "--quiet", "build", ...args];
  const { code, stdout, stderr } = run(command!, rest, {
    cwd: folder,
    env: { NO_COLOR: "1", ...env },
  });
  const made = `${folder}/dist/iouring`;
  const bytes = existsSync(made) ? readFileSync(made) : new Uint8Array();
  return {
    code,
    said: stdout + stderr,
    digest: createHash("sha256").update(bytes).digest("hex"),
  };
}

Deno.test("build makes the same file in any folder, under 110 MB, and only when needed", () => {
  withFolder((folder) => {
    copySources(ROOT, `${folder}/a`);
    copySources(ROOT, `${folder}/b/some where/else`);
    const first = build(`${folder}/a`);
    assert.match(first.said, /^dist\/iouring made: .* launcher form, build unknown, /);
    assert.ok(statSync(`${folder}/a/dist/iouring`).size < 110e6);
    const again = build(`${folder}/a`);
    assert.match(again.said, /up to date/);
    assert.equal(again.digest, first.digest);

    // Asked for the other form, with a base runtime that is none: the whole runtime, which ignores
    // what is put behind it.
    const elsewhere = `${folder}/b/some where/else`;
    const second = build(elsewhere, { args: ["--compile"], env: { DENORT_BIN: Deno.execPath() } });
    assert.match(second.said, /^Making the launcher form: what deno compile made says "deno /);
    assert.match(second.said, /^dist\/iouring made: .* launcher form/m);
    assert.equal(second.digest, first.digest);
    assert.deepEqual(readdirSync(`${elsewhere}/dist`), ["iouring"]);
  });
});

const NEEDS_NETWORKS = need(
  succeeds("unshare", "--net", "true"),
  "needs to make a network namespace",
);

testWith(
  [NEEDS_NETWORKS],
  "build without a network and with an empty cache says so in one line, and makes nothing",
  () =>
    withFolder((folder) => {
      copySources(ROOT, folder);
      const { code, said } = build(folder, {
        before: ["unshare", "--net"],
        env: { DENO_DIR: `${folder}/deno` },
      });
      assert.match(
        said,
        /^Cannot build: what deno bundle needs cannot be fetched; it is fetched once and kept\n$/,
      );
      assert.equal(code, 1);
      assert.ok(!existsSync(`${folder}/dist`));
    }),
);

testWith(
  [NEEDS_NETWORKS],
  "build makes the launcher form where the base of the other cannot be reached",
  () =>
    withFolder((folder) => {
      copySources(ROOT, folder);
      const { code, said } = build(folder, { before: ["unshare", "--net"], args: ["--compile"] });
      assert.match(
        said,
        /^Making the launcher form: what deno compile needs cannot be fetched; [^\n]*\n/,
      );
      assert.match(said, /^dist\/iouring made: .* launcher form/m);
      assert.equal(code, 0);
    }),
);

Deno.test("the script of a command has the code of no other", () => {
  // Words of the one command alone, which no minifier changes.
  const words = { capture: "capture_blinded", scan: "VMCOREINFO", filter: "needs --config FILE" };
  for (const command of Object.keys(words)) {
    const script = readFileSync(`${ROOT}.cache/build/program.${command}.js`, "utf8");
    for (const [name, word] of Object.entries(words)) {
      assert.equal(script.includes(word), name === command, `${word} in the script of ${command}`);
    }
  }
});

Deno.test("nothing that the build embeds needs more than GLIBC_2.31", () => {
  const libraries = Object.values(LIBRARIES).map((file) => `${ROOT}.cache/build/${file}`);
  for (const path of [Deno.execPath(), ...libraries]) {
    // The versions of symbols are the only such words in a library.
    const bytes = readFileSync(path).toString("latin1");
    for (const [version, minor] of bytes.matchAll(/GLIBC_2\.(\d+)/g)) {
      assert.ok(Number(minor) <= 31, `${path} needs ${version}`);
    }
  }
});

Deno.test("build says in one line what to install where it cannot install it", () => {
  const { code, said } = build(ROOT, { env: { PATH: "/nonexistent" } });
  assert.equal(code, 1);
  assert.equal(
    said,
    "Cannot prepare the build: cc, the C library's headers, clang, llvm-strip, libbpf missing, " +
      "as root: apt-get install gcc libc6-dev clang llvm libbpf-dev\n",
  );
});

Deno.test("the shims and the launcher compile without a warning", () => {
  // Not in the build itself: another compiler's new warning is not to stop a user.
  const warnings = ["-Wall", "-Wextra", "-Werror", "-Wformat=2", "-Wshadow"];
  for (const path of globSync(["ffi/*.c", "test/ffi/*.c"], { cwd: ROOT })) {
    const options = ["-std=gnu11", "-O2", ...warnings, "-c", "-o", "/dev/null"];
    const { code, stderr } = run("cc", [...options, path], { cwd: ROOT });
    assert.equal(code, 0, stderr);
  }
});
