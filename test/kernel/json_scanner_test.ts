import assert from "node:assert/strict";
import { JsonScanner } from "../../lib/kernel/json_scanner.ts";

const scanner = (text: string, at?: number) => new JsonScanner(new TextEncoder().encode(text), at);

/** Members of an object with the text of each value. */
function membersOf(text: string): [string, string][] {
  const walk = scanner(text);
  const members: [string, string][] = [];
  for (const key of walk.members()) members.push([key, walk.text()]);
  return members;
}

Deno.test("JsonScanner.members() gives the keys of an object, with the values as text", () => {
  assert.deepEqual(membersOf("{}"), []);
  assert.deepEqual(
    membersOf(
      ' { "a" : 1 , "b":[1,{"c":"]}"}],"q\\"\\u00e4\\\\":"\\"x\\\\","t":true, "n":-1.5e+3}\n',
    ),
    [["a", "1"], ["b", '[1,{"c":"]}"}]'], ['q"ä\\', '"\\"x\\\\"'], ["t", "true"], ["n", "-1.5e+3"]],
  );
});

Deno.test("JsonScanner.members() skips values that are not read, and goes into those that are", () => {
  const walk = scanner('{"a": {"x": [[[]]]}, "b": {"y": 1, "z": 2}, "c": 3}');
  const seen: string[] = [];
  for (const key of walk.members()) {
    seen.push(key);
    if (key === "b") { for (const inner of walk.members()) seen.push(inner); }
  }
  assert.deepEqual(seen, ["a", "b", "y", "z", "c"]);
});

Deno.test("JsonScanner says where a text is not JSON", () => {
  const cases: [string, string][] = [
    ["", "it is cut short"],
    ["[1]", "byte 0 is not an object"],
    ["{a: 1}", "byte 1 is not a key"],
    ['{"a" 1}', "byte 5 is not a colon"],
    ['{"a": }', "byte 6 is not a value"],
    ['{"a": ]}', "byte 6 is not a value"],
    ['{"a": 1 "b": 2}', "byte 8 is not a comma"],
    ['{"a": 1', "it is cut short"],
    ['{"a": "x', "it is cut short"],
    ['{"a": [1, 2', "it is cut short"],
    ['{"a": "\\', "it is cut short"],
    ['{"a": 1,}', "byte 8 is not a key"],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => membersOf(text), new SyntaxError(message), text);
  }
  // A key has to be a text of JSON.
  assert.throws(() => membersOf('{"\\x": 1}'), SyntaxError);
});

Deno.test("JsonScanner skips values of any depth", () => {
  const depth = 1_000_000;
  const nested = "[".repeat(depth) + "]".repeat(depth);
  assert.deepEqual(membersOf(`{"a": ${nested}, "b": 1}`).map(([key]) => key), ["a", "b"]);
  assert.throws(() => membersOf(`{"a": ${"[".repeat(depth)}`), new SyntaxError("it is cut short"));
});
