import assert from "node:assert/strict";
import { ndjsonLine } from "../../lib/record/ndjson.ts";

Deno.test("ndjsonLine() keeps the order of keys", () => {
  assert.equal(
    ndjsonLine({ type: "X", b: 1, a: [true, null] }),
    '{"type":"X","b":1,"a":[true,null]}',
  );
});

Deno.test("ndjsonLine() escapes every character that a terminal may obey", () => {
  const hostile = [
    "\x00\x07\x1b[31m\r\n",
    "\x7f\x80\x9b2J\x9f",
    "\u2028\u2029",
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "\ud800",
  ].join("");
  const line = ndjsonLine({ comm: hostile, ["k\x9b"]: 1 });
  assert.match(line, /^[\x20-\x7e]*$/);
  assert.equal(JSON.parse(line).comm, hostile);
  assert.equal(JSON.parse(line)["k\x9b"], 1);
});

Deno.test("ndjsonLine() leaves other text as it is", () => {
  assert.equal(ndjsonLine({ comm: "größe 漢字 🦀" }), '{"comm":"größe 漢字 🦀"}');
});
