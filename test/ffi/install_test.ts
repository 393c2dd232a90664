import assert from "node:assert/strict";
import { need, run, succeeds, testWith } from "../command.ts";
import { ROOT } from "../paths.ts";
import { withFolder } from "./open_image.ts";

/** Installs below a prefix; what it said. */
function install(prefix: string): { code: number; said: string } {
  const args = ["run", "--allow-all", `${ROOT}ffi/install.ts`, prefix];
  const { code, stdout, stderr } = run(Deno.execPath(), args);
  return { code, said: stdout + stderr };
}

Deno.test("install puts a program, its man page, completions and unit below a prefix", () => {
  withFolder((folder) => {
    const { code, said } = install(`${folder}/a b`);
    assert.equal(code, 0, said);
    const files = said.trimEnd().split("\n").map((line) => line.replace("Installed ", ""));
    assert.equal(files.length, 8);
    for (const file of files) assert.ok(Deno.statSync(file).isFile, file);
    assert.match(run(`${folder}/a b/bin/iouring`, ["--version"]).stdout, /^iouring /);
    assert.match(Deno.readTextFileSync(`${folder}/a b/share/man/man1/iouring.1`), /^\.TH IOURING/);
    assert.match(Deno.readTextFileSync(`${folder}/a b/share/doc/iouring/copyright`), /^== libelf/m);
    // Again, over what is there.
    assert.equal(install(`${folder}/a b`).code, 0);
  });
});

Deno.test("install says in one line where it cannot", () => {
  const { code, said } = install("/proc/none");
  assert.equal(code, 1);
  assert.match(said, /^Cannot install to \/proc\/none: [^\n]+\n$/);
  assert.equal(install("relative").code, 2);
});

testWith(
  [need(succeeds("systemd-analyze", "--version"), "needs systemd-analyze")],
  "the systemd unit is one that systemd understands",
  () =>
    withFolder((folder) => {
      assert.equal(install(folder).code, 0);
      const unit = `${folder}/lib/systemd/system/iouring-capture.service`;
      const { stdout, stderr } = run("systemd-analyze", ["verify", "--man=no", unit]);
      const said = (stdout + stderr).split("\n");
      assert.deepEqual(said.filter((line) => line.includes("iouring-capture")), []);
    }),
);
