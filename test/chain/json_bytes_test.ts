import assert from "node:assert/strict";
import { valueEnd, wordsOf } from "../../lib/chain/json_bytes.ts";
import { Random } from "../scan/mutations.ts";

const PIECES = [
  ...['{"a":', '"b"', "1", "-0", "01", "1.5", "1e3", "true", "null", "[", "]", "{", "}", ",", ":"],
  ...['"', "\\", '\\"', "\\u00e9", "\\u12", "\\n", "\x7f", "\x1f", "\t", " ", "é", "x", "-", ",,"],
];

function endOf(text: string, depth = 4): number {
  const bytes = new TextEncoder().encode(text);
  return valueEnd({ bytes, words: wordsOf(bytes) }, 0, depth);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

Deno.test("valueEnd() takes what this program and others write", () => {
  for (
    const text of [
      '""',
      '"a b \\\\ \\" \\/ \\b\\f\\n\\r\\t \\u001b \\uD83D"',
      "0",
      "-0",
      "1234567890123456789",
      "-5",
      "true",
      "false",
      "null",
      "[]",
      "{}",
      '[1,"a",[null],{"b":{}}]',
      '{"a":1,"":[],"c d":{"e":"f"}}',
      '{"a": 1, "b": ["x", 2]}',
    ]
  ) {
    assert.ok(isJson(text));
    assert.equal(endOf(text), text.length, text);
    assert.equal(endOf(`${text},1`), text.length, text);
  }
});

Deno.test("valueEnd() finds what ends a string, wherever in it", () => {
  for (let byte = 0; byte < 256; byte++) {
    for (let before = 0; before < 9; before++) {
      const bytes = new Uint8Array([0x22, ...new Array(before).fill(0x61), byte, 0x61, 0x22, 0x2c]);
      const isOrdinary = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
      const expected = isOrdinary ? before + 4 : byte === 0x22 ? before + 2 : -1;
      assert.equal(valueEnd({ bytes, words: wordsOf(bytes) }, 0, 0), expected, `${byte} ${before}`);
    }
  }
});

Deno.test("valueEnd() goes no deeper than it is told", () => {
  assert.equal(endOf("[[[[1]]]]", 4), 9);
  assert.equal(endOf("[[[[1]]]]", 3), -1);
  assert.equal(endOf('{"a":{}}', 1), -1);
  assert.equal(endOf("[".repeat(1_000_000)), -1);
});

Deno.test("valueEnd() takes nothing that JSON.parse does not, on generated texts", () => {
  const random = new Random(5);
  let taken = 0;
  for (let i = 0; i < 300_000; i++) {
    const text = Array.from({ length: 1 + random.below(9) }, () => random.one(PIECES)).join("");
    const end = endOf(text);
    if (end < 0) continue;
    // The end of an integer is not yet the end of a number, so what follows has to be looked at.
    const bytes = new TextEncoder().encode(text);
    if (end < bytes.length && !",]}".includes(String.fromCharCode(bytes[end]!))) continue;
    taken++;
    assert.ok(isJson(new TextDecoder().decode(bytes.subarray(0, end))), text);
  }
  assert.ok(taken > 10_000, `${taken} taken`);
});
