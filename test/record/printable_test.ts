import assert from "node:assert/strict";
import { printable, printableField } from "../../lib/record/printable.ts";

Deno.test("printable() shows control and format characters as escapes", () => {
  assert.equal(printable("a\x1b[2J\r\n\t\x7f\x9b"), "a\\x1b[2J\\x0d\\x0a\\x09\\x7f\\x9b");
  assert.equal(printable("\u202egpj.exe\u2066"), "\\u{202e}gpj.exe\\u{2066}");
  assert.equal(printable("\u200b\ufeff\u{e0041}\ud800"), "\\u{200b}\\u{feff}\\u{e0041}\\u{d800}");
});

Deno.test("printable() leaves other text as it is", () => {
  assert.equal(printable("größe 漢字 🦀 a\\b"), "größe 漢字 🦀 a\\b");
});

Deno.test("printableField() shows the bytes that are not UTF-8", () => {
  const record = { comm: "a\ufffd\ufffdé", comm_hex: "61ff80c3a9" };
  assert.equal(printableField(record, "comm"), "a\\xff\\x80é");
  assert.equal(printableField({ comm: "\ufffd", comm_hex: "e2" }, "comm"), "\\xe2");
  assert.equal(printableField({ comm: "x", comm_hex: "1b" }, "comm"), "\\x1b");
});

Deno.test("printableField() falls back to the text when the hex is no hex", () => {
  assert.equal(printableField({ comm: "x\x1b", comm_hex: "zz" }, "comm"), "x\\x1b");
  assert.equal(printableField({ comm: 1 }, "comm"), "");
});
