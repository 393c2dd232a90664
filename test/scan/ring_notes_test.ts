import assert from "node:assert/strict";
import { RingNotes } from "../../lib/scan/ring_notes.ts";

Deno.test("RingNotes keeps every kind, and counts what is too much of one", () => {
  const notes = new RingNotes();
  for (let i = 0; i < 51; i++) notes.miss(`pending.${i}.op_info.path`, "unmapped");
  assert.equal(notes.damaged, false);
  for (let i = 0; i < 52; i++) notes.report("list_broken", `list ${i}`, "requests");
  notes.remark("process_hidden", "process 7 is not on the task list");
  assert.equal(notes.missing.length, 51);
  assert.equal(notes.damaged, true);
  assert.equal(notes.diagnostics.length, 103);
  assert.deepEqual(notes.diagnostics.slice(100), [
    { code: "process_hidden", message: "process 7 is not on the task list" },
    { code: "argument_unmapped", message: "1 more of this kind" },
    { code: "list_broken", message: "2 more of this kind", hides: "requests" },
  ]);
});
