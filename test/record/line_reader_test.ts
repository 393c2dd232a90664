import assert from "node:assert/strict";
import { LineReader, type LineReaderOptions } from "../../lib/record/line_reader.ts";
import { countCalls } from "../counted_work.ts";

/** The blocks of `text`, read `step` bytes at a time. */
async function blocks(text: string, step: number, options?: LineReaderOptions) {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  const reader = new LineReader((buffer) => {
    if (at === bytes.length) return Promise.resolve(null);
    const part = bytes.subarray(at, at + Math.min(step, buffer.length));
    buffer.set(part);
    at += part.length;
    return Promise.resolve(part.length);
  }, options);
  const found: string[] = [];
  for await (const { bytes, tooLong } of reader.blocks()) {
    found.push(tooLong ? "too long" : new TextDecoder().decode(bytes));
  }
  return found;
}

Deno.test("LineReader yields whole lines", async () => {
  assert.deepEqual(await blocks("a\nbb\nccc", 100), ["a\nbb\n", "ccc\n"]);
  assert.deepEqual(await blocks("a\nbb\nccc", 3), ["a\n", "bb\n", "ccc\n"]);
  assert.deepEqual(await blocks("a\nbb\n", 1), ["a\n", "bb\n"]);
  assert.deepEqual(await blocks("", 10), []);
  assert.deepEqual(await blocks("\n\n", 10), ["\n\n"]);
});

Deno.test("LineReader joins a line that is longer than a chunk", async () => {
  const line = "x".repeat(1000);
  for (const step of [1, 7, 64, 1000]) {
    assert.deepEqual(
      (await blocks(`a\n${line}\nb\n`, step, { chunk: 16 })).join(""),
      `a\n${line}\nb\n`,
    );
  }
});

Deno.test("LineReader gives up a line over the limit and goes on after it", async () => {
  for (const step of [1, 5, 16]) {
    const text = `a\n${"x".repeat(500)}\nb\nc`;
    const found = (await blocks(text, step, { chunk: 16, limit: 100 })).join("|");
    assert.match(found, /^a\n\|too long\|b\n.*c\n$/s);
  }
});

Deno.test("LineReader gives up a last line over the limit", async () => {
  assert.deepEqual(await blocks("x".repeat(500), 16, { chunk: 16, limit: 100 }), ["too long"]);
});

Deno.test("LineReader searches and copies each byte of a long line a few times", async () => {
  const length = 4_000_000;
  const prototype = Object.getPrototypeOf(Uint8Array.prototype);
  const methods = ["indexOf", "lastIndexOf", "slice", "set"];
  await countCalls(prototype, { methods, most: 5 * length }, async () => {
    const found = await blocks("x".repeat(length) + "\n", 100, { chunk: 1024 });
    assert.deepEqual(found.map((block) => block.length), [length + 1]);
  });
});
