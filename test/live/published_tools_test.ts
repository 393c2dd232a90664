import assert from "node:assert/strict";
import { parseTruth } from "../vm/truth.ts";
import { PROGRAM } from "../paths.ts";
import { live, RunningCapture } from "./capture.ts";
import { RULES_OF } from "./published_tools.ts";
import { buildWorkload } from "./workload.ts";

live("what the published tools do is classified operation by operation", async () => {
  const folder = await Deno.makeTempDir();
  try {
    // It removes its own executable.
    const agent = `${folder}/agent`;
    await Deno.copyFile(await buildWorkload({ name: "published_tools" }), agent);
    const capture = await RunningCapture.start();
    const workload = await new Deno.Command(agent, { args: [folder], stderr: "inherit" }).output();
    assert.ok(workload.success);
    const { records } = await capture.stop();

    // What `capture` says and what `filter` says of its stream are the same.
    const path = `${folder}/events.ndjson`;
    await Deno.writeTextFile(path, records.map((record) => JSON.stringify(record) + "\n").join(""));
    const filter = await new Deno.Command(PROGRAM, { args: ["filter", path] }).output();
    assert.equal(filter.code, 0, new TextDecoder().decode(filter.stderr));
    const filtered = new TextDecoder().decode(filter.stdout).trim().split("\n")
      .map((line) => JSON.parse(line));
    const { operations } = parseTruth(new TextDecoder().decode(workload.stdout));
    assert.ok(operations.length > 90);
    for (const stream of [records, filtered]) {
      const rules = new Map<string, string[]>();
      for (const { type, process, io_uring, classification } of stream) {
        if (type !== "IOUringEvent" || process.filename !== "agent") continue;
        const fired = (classification?.rules ?? []).map(({ id }: { id: string }) => id);
        rules.set(io_uring.user_data, fired.sort());
      }
      for (const { operation, user_data, path } of operations) {
        // The sweep is told once it is one, somewhere on the way.
        if (operation === "privesc-one") continue;
        const expected = RULES_OF[operation];
        assert.deepEqual(rules.get(user_data), expected, `${operation} ${user_data} ${path}`);
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
