import assert from "node:assert/strict";
import { JsonSink, LineBuffer, NdjsonSink } from "../../lib/chain/sink.ts";
import { event, ring } from "./records.ts";

/** Gathers writes as text. */
function gather() {
  const writes: string[] = [];
  return {
    writes,
    write: (bytes: Uint8Array) => void writes.push(new TextDecoder().decode(bytes)),
  };
}

Deno.test("LineBuffer never ends a write inside a line", () => {
  const { writes, write } = gather();
  const lines = new LineBuffer(write);
  const sizes = [10, 65_000, 600, 65_535, 65_536, 200_000, 1, 0];
  for (const size of sizes) lines.add("x".repeat(size));
  lines.add("bytes");
  lines.flush();
  lines.flush();
  assert.ok(writes.every((text) => text.endsWith("\n")));
  assert.deepEqual(writes.join("").split("\n").map((line) => line.length), [...sizes, 5, 0]);
});

Deno.test("LineBuffer does not write again what failed", () => {
  let fail = true;
  const written: number[] = [];
  const lines = new LineBuffer((bytes) => {
    if (fail) throw new Error("full");
    written.push(bytes.length);
  });
  lines.add("a");
  assert.throws(() => lines.flush(), /full/);
  fail = false;
  lines.add("bc");
  lines.flush();
  assert.deepEqual(written, [3]);
});

Deno.test("NdjsonSink writes a line for each record, or the line it was read from", () => {
  const { writes, write } = gather();
  const sink = new NdjsonSink(write);
  sink.write(ring({ comm: "a\x9b" }));
  sink.write(ring(), '{ "type" : "IOUringEntry" }');
  sink.finish();
  const [first, second, rest] = writes.join("").split("\n");
  assert.equal(JSON.parse(first!).comm, "a\x9b");
  assert.match(first!, /"comm":"a\\u009b"/);
  assert.equal(second, '{ "type" : "IOUringEntry" }');
  assert.equal(rest, "");
});

Deno.test("JsonSink writes one array, also an empty one and one that is cut", () => {
  for (const count of [0, 1, 3]) {
    const { writes, write } = gather();
    const sink = new JsonSink(write);
    for (let i = 0; i < count; i++) {
      if (i === 1) sink.write(event(), '{"type":"IOUringEvent"} \r');
      else sink.write(event());
      sink.flush();
    }
    sink.finish();
    const array = JSON.parse(writes.join(""));
    assert.equal(array.length, count);
    assert.ok(array.every(({ type }: { type: string }) => type === "IOUringEvent"));
  }
});
