/** Every command of the README that is marked to be run, as it stands there and in that order. */
import assert from "node:assert/strict";
import { need, run, succeeds, testWith } from "./command.ts";
import { withFolder } from "./ffi/open_image.ts";
import { imageFixtures, unpackFixture } from "./fixtures.ts";
import { cannotCapture } from "./live/capture.ts";
import { buildWorkload } from "./live/workload.ts";
import { PROGRAM, ROOT } from "./paths.ts";

const README = Deno.readTextFileSync(`${ROOT}README.md`);

const END_RECORD = '{"type":"IOUringStatus","phase":"end","timestamp":"2026-01-02T03:04:06.678Z",' +
  '"totals":{"events":2,"lost":0},"complete":true,"duration_ms":1000}\n';

function blocksOf(language: string): string[] {
  const fence = new RegExp("^```" + language + "\\n(.*?)^```", "gms");
  return Array.from(README.matchAll(fence), ([, text]) => text!);
}

/** Whether a block needs a host that can be captured on. */
const isLive = (block: string) => block.includes("iouring capture");
const NEEDS_JQ = need(succeeds("jq", "--version"), "needs jq");

/** Runs these `sh` blocks in a folder that has what they name; what each said, by its first line. */
function runBlocks(
  blocks: readonly string[],
  prepare: (folder: string) => void,
): Map<string, string> {
  const said = new Map<string, string>();
  withFolder((folder) => {
    Deno.symlinkSync(PROGRAM, `${folder}/iouring`);
    Deno.symlinkSync(unpackFixture(imageFixtures()[0]!), `${folder}/dump.raw`);
    Deno.writeTextFileSync(`${folder}/f.yaml`, blocksOf("yaml")[0]!);
    // The one who runs this is root already.
    Deno.writeTextFileSync(`${folder}/sudo`, '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
    prepare(folder);
    const env = { PATH: `${folder}:${Deno.env.get("PATH")}` };
    for (const block of blocks) {
      const args = ["-euo", "pipefail", "-c", block];
      const { code, stdout, stderr } = run("bash", args, { cwd: folder, env });
      assert.equal(code, 0, `${block}\n${stderr}`);
      assert.doesNotMatch(stderr, /error|Cannot/i, block);
      said.set(block.split("\n").find((line) => !line.startsWith("while"))!, stdout);
    }
    const recording = Deno.readTextFileSync(`${folder}/host.ndjson`);
    assert.equal(recording.split('"phase":"end"').length, 2);
  });
  return said;
}

const ANSWERS = "# What is suspicious, who did it, and by which rules?";

testWith(
  [await cannotCapture(), NEEDS_JQ],
  "The README's commands do what they say",
  async () => {
    const workload = await buildWorkload();
    // There is something to record, and a few seconds are enough.
    const record =
      `while '${workload}' samples; do sleep 0.1; done > /dev/null & trap 'kill $!' EXIT\n`;
    const said = runBlocks(
      blocksOf("sh").map((block) =>
        isLive(block) ? record + block.replace("-d 60", "-d 4") : block
      ),
      () => {},
    );
    assert.match(said.get(ANSWERS)!, /^ +\d+ \S+workload IORING_OP_OPENAT$/m);
  },
);

testWith([NEEDS_JQ], "The README's commands on an image and a recording do what they say", () => {
  const said = runBlocks(blocksOf("sh").filter((block) => !isLive(block)), (folder) => {
    Deno.copyFileSync(`${ROOT}test/cli/filter_sigint/stdin`, `${folder}/host.ndjson`);
    Deno.writeTextFileSync(`${folder}/host.ndjson`, END_RECORD, { append: true });
  });
  const answers = said.get(ANSWERS)!;
  assert.match(answers, /^ +1 \/home\/u\/agent IORING_OP_CONNECT$/m);
  assert.match(answers, /^\d+\tl_hashed\tIORING_OP_WRITE\t$/m);
  assert.match(answers, /"complete": true/);
});

Deno.test("The README shows a part of what a scan of the demo's image says", () => {
  const image = unpackFixture(imageFixtures().find((name) => name.includes("bare"))!);
  const { stdout, stderr } = run(PROGRAM, ["scan", "--format", "table", image]);
  const collapse = (line: string) => line.trimEnd().replaceAll(/ +/g, " ");
  const lines = (stdout + stderr).split("\n").map(collapse);
  const [, excerpt] = /^\$ iouring scan memory.elf\n(.*?)\n\n/ms.exec(README)!;
  const shown = excerpt!.split("\n").map(collapse);
  assert.ok(shown.length > 4);
  for (const line of shown) assert.ok(line === "…" || lines.includes(line), line);
});
