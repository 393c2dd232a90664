import assert from "node:assert/strict";
import { wordsOf } from "../../lib/chain/json_bytes.ts";
import { ProcessMemo } from "../../lib/chain/process_memo.ts";
import { Random } from "../scan/mutations.ts";

function blockOf(text: string) {
  const bytes = new TextEncoder().encode(text);
  return { bytes, words: wordsOf(bytes) };
}

/** Puts a text into the memo, as often as it takes. */
function learn(memo: ProcessMemo, text: string): void {
  const { bytes, words } = blockOf(text + " ".repeat(1024));
  for (let time = 0; time < 2; time++) {
    if (memo.find({ bytes, words }, 0) === undefined) {
      memo.add(bytes, { start: 0, end: text.length, isLeftOut: true });
    }
  }
}

Deno.test("ProcessMemo finds a text that came twice, and no other", () => {
  const random = new Random(3);
  const memo = new ProcessMemo();
  const texts = Array.from({ length: 300 }, (_, i) => {
    // Of some the beginnings are alike.
    const args = "x".repeat(random.one([40, 60, 61, 62, 63, 64, 250, 1100, 2000]));
    return i % 2 === 0
      ? `{"pid":${i},"args":"${args}"}`
      : `{"args":"${args}","pid":${i},"cwd":"/${args}"}`;
  });
  for (const text of texts) learn(memo, text);
  let found = 0;
  for (const text of texts) {
    for (const other of [text, text.replace('"pid":', '"pib":'), text.replace("}", " }")]) {
      const known = memo.find(blockOf(`${other},"type":"${"y".repeat(1024)}"`), 0);
      if (known === undefined) continue;
      found++;
      assert.equal(other, text);
      assert.equal(known.length, text.length);
      assert.deepEqual(known.value, JSON.parse(text));
    }
  }
  assert.ok(found > 200, `${found} found`);
});

Deno.test("ProcessMemo compares every byte of a text", () => {
  const memo = new ProcessMemo();
  for (let length = 64; length < 80; length++) {
    const text = `{"args":"${"x".repeat(length - 11)}"}`;
    assert.equal(text.length, length);
    learn(memo, text);
    const after = " ".repeat(1024);
    assert.equal(memo.find(blockOf(text + after), 0)?.length, length);
    for (let i = 0; i < length; i++) {
      const other = `${text.slice(0, i)}~${text.slice(i + 1)}${after}`;
      assert.equal(memo.find(blockOf(other), 0), undefined, `${length} ${i}`);
    }
    assert.equal(memo.find(blockOf(text.slice(0, -1)), 0), undefined);
  }
});
