/** What the published tools did is in memory of a guest in which they run, and is classified. */
import assert from "node:assert/strict";
import type { IOUringEntry } from "../../lib/record/records.ts";
import { RULES_OF } from "../live/published_tools.ts";
import { PROGRAM } from "../paths.ts";
import { labTools } from "./lab.ts";
import { labTest } from "./lab_case.ts";

for (const kernel of ["5.10", "6.1", "6.12", "backports"]) {
  await labTest(
    `scan lists and classifies what the published tools did on ${kernel}`,
    () => labTools({ kernel, paging: 4 }),
    ({ elf, truth }) => {
      const { code, stdout, stderr } = new Deno.Command(PROGRAM, {
        args: ["scan", "--format", "ndjson", elf],
      }).outputSync();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      const entries: IOUringEntry[] = new TextDecoder().decode(stdout).trim().split("\n")
        .map((line) => JSON.parse(line)).filter(({ type }) => type === "IOUringEntry");
      // RingReaper has one ring, curing two.
      assert.equal(entries.length, 3);
      const { operations } = truth;
      assert.ok(operations.length > 100);
      const listed = entries.flatMap(({ history = [] }) => history);
      assert.equal(listed.length, operations.length);

      for (const { history = [], classification } of entries) {
        const expected = new Set<string>();
        for (const request of history) {
          const said = operations.find(({ user_data }) => user_data === request.user_data);
          assert.ok(said !== undefined, JSON.stringify(request));
          const { operation, opcode, res, path } = said;
          for (const rule of RULES_OF[operation]!) expected.add(rule);
          assert.equal(request.opcode_number, opcode, operation);
          assert.equal(request.result?.res, res, operation);
          // All names of the sweep were in one buffer.
          if (path === undefined || operation.startsWith("privesc")) continue;
          assert.equal(request.op_info?.path, path, operation);
        }
        const fired = (classification?.rules ?? []).map(({ id }) => id);
        assert.deepEqual(fired.sort(), [...expected].sort());
      }
    },
  );
}
