import assert from "node:assert/strict";
import { ROOT } from "../paths.ts";
import { withFolder } from "./open_image.ts";

function run(command: string, args: string[]): { code: number; said: string } {
  const { code, stdout, stderr } = new Deno.Command(command, { args }).outputSync();
  const decoder = new TextDecoder();
  return { code, said: decoder.decode(stdout) + decoder.decode(stderr) };
}

function has(command: string): boolean {
  return run("sh", ["-c", `command -v ${command}`]).code === 0;
}

function install(prefix: string): { code: number; said: string } {
  return run(Deno.execPath(), ["run", "--allow-all", `${ROOT}ffi/install.ts`, prefix]);
}

Deno.test("install puts a program, its man page, completions and unit below a prefix", () => {
  withFolder((folder) => {
    const { code, said } = install(`${folder}/a b`);
    assert.equal(code, 0, said);
    const files = said.trimEnd().split("\n").map((line) => line.replace("Installed ", ""));
    assert.equal(files.length, 7);
    for (const file of files) assert.ok(Deno.statSync(file).isFile, file);
    assert.match(run(`${folder}/a b/bin/iouring`, ["--version"]).said, /^iouring /);
    assert.match(Deno.readTextFileSync(`${folder}/a b/share/man/man1/iouring.1`), /^\.TH IOURING/);
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

const canVerify = has("systemd-analyze");

Deno.test({
  name: "the systemd unit is one that systemd understands" +
    (canVerify ? "" : " (needs systemd-analyze)"),
  ignore: !canVerify,
  fn() {
    withFolder((folder) => {
      assert.equal(install(folder).code, 0);
      const unit = `${folder}/lib/systemd/system/iouring-capture.service`;
      const { said } = run("systemd-analyze", ["verify", "--man=no", unit]);
      assert.deepEqual(said.split("\n").filter((line) => line.includes("iouring-capture")), []);
    });
  },
});
