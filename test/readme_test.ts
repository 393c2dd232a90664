/** Every command of the README that is marked to be run, as it stands there and in that order. */
import assert from "node:assert/strict";
import { need, run, succeeds, testWith } from "./command.ts";
import { withFolder } from "./ffi/open_image.ts";
import { imageFixtures, unpackFixture } from "./fixtures.ts";
import { cannotCapture } from "./live/capture.ts";
import { buildWorkload } from "./live/workload.ts";
import { PROGRAM, ROOT } from "./paths.ts";

const README = Deno.readTextFileSync(`${ROOT}README.md`);

function blocks(language: string): string[] {
  const fence = new RegExp("^```" + language + "\\n(.*?)^```", "gms");
  return Array.from(README.matchAll(fence), ([, text]) => text!);
}

testWith(
  [await cannotCapture(), need(succeeds("jq", "--version"), "needs jq")],
  "The README's commands do what they say",
  async () => {
    const workload = await buildWorkload();
    withFolder((folder) => {
      Deno.symlinkSync(PROGRAM, `${folder}/iouring`);
      Deno.symlinkSync(unpackFixture(imageFixtures()[0]!), `${folder}/dump.raw`);
      Deno.writeTextFileSync(`${folder}/f.yaml`, blocks("yaml")[0]!);
      // The one who runs this is root already.
      Deno.writeTextFileSync(`${folder}/sudo`, '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
      const env = { PATH: `${folder}:${Deno.env.get("PATH")}` };
      const said = new Map<string, string>();
      for (const block of blocks("sh")) {
        // There is something to record, and a second is enough.
        const setup =
          `while '${workload}' samples; do sleep 0.1; done > /dev/null & trap 'kill $!' EXIT\n`;
        const script = block.replace("-d 60", "-d 1");
        const start = script === block ? "" : setup;
        const args = ["-euo", "pipefail", "-c", start + script];
        const { code, stdout, stderr } = run("bash", args, { cwd: folder, env });
        assert.equal(code, 0, `${block}\n${stderr}`);
        assert.doesNotMatch(stderr, /error|Cannot/i, block);
        said.set(block.split("\n")[0]!, stdout);
      }
      const answers = said.get("# What is suspicious, who did it, and by which rules?")!;
      assert.match(answers, /^ +\d+ \S+workload IORING_OP_OPENAT$/m);
      assert.match(answers, /^\d+\tl_hashed\tIORING_OP_WRITE\t$/m);
      assert.match(answers, /"complete": true/);
      assert.equal(Deno.readTextFileSync(`${folder}/host.ndjson`).split('"phase":"end"').length, 2);
    });
  },
);
