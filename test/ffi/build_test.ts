import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { fileURLToPath } from "node:url";
import { LIBRARIES } from "../../ffi/libraries.ts";
import { withFolder } from "./open_image.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Builds a copy of `source` in `folder`; the result's digest, and what the build printed. */
function buildCopy(source: string, folder: string): { digest: string; output: string } {
  mkdirSync(`${folder}/.cache`, { recursive: true });
  // What was downloaded once is not downloaded again.
  const packages = `${ROOT}.cache/packages`;
  if (existsSync(packages)) symlinkSync(packages, `${folder}/.cache/packages`);
  for (const part of ["deno.json", "deno.lock", "main.ts", "lib", "ffi", "bpf"]) {
    cpSync(`${source}/${part}`, `${folder}/${part}`, { recursive: true });
  }
  return rebuild(folder);
}

function rebuild(folder: string): { digest: string; output: string } {
  const { success, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--frozen", "ffi/build.ts"],
    cwd: folder,
    stdin: "null",
  }).outputSync();
  const output = new TextDecoder().decode(stdout);
  assert.ok(success, output + new TextDecoder().decode(stderr));
  const bytes = readFileSync(`${folder}/dist/iouring`);
  return { digest: createHash("sha256").update(bytes).digest("hex"), output };
}

Deno.test("build makes the same file in any folder, under 110 MB, and only when needed", () => {
  withFolder((folder) => {
    const first = buildCopy(ROOT, `${folder}/a`);
    const second = buildCopy(`${folder}/a`, `${folder}/b/some where/else`);
    assert.equal(first.digest, second.digest);
    assert.match(first.output, /dist\/iouring made: .* launcher form, build unknown, /);
    assert.ok(statSync(`${folder}/a/dist/iouring`).size < 110e6);
    const again = rebuild(`${folder}/a`);
    assert.match(again.output, /up to date/);
    assert.equal(again.digest, first.digest);
  });
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
  const { code, stdout } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--frozen", "ffi/build.ts"],
    cwd: ROOT,
    env: { PATH: "/nonexistent" },
  }).outputSync();
  assert.equal(code, 1);
  assert.equal(
    new TextDecoder().decode(stdout),
    "Cannot prepare the build: cc, the C library's headers, clang, llvm-strip, libbpf missing, " +
      "install gcc libc6-dev clang llvm libbpf-dev\n",
  );
});

Deno.test("the shims and the launcher compile without a warning", () => {
  // Not in the build itself: another compiler's new warning is not to stop a user.
  const warnings = ["-Wall", "-Wextra", "-Werror", "-Wformat=2", "-Wshadow"];
  for (const path of globSync("ffi/*.c", { cwd: ROOT })) {
    const { success, stderr } = new Deno.Command("cc", {
      args: ["-std=gnu11", "-O2", ...warnings, "-c", "-o", "/dev/null", path],
      cwd: ROOT,
    }).outputSync();
    assert.ok(success, new TextDecoder().decode(stderr));
  }
});
