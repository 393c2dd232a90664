import assert from "node:assert/strict";
import { type Schema, Validator } from "@cfworker/json-schema";
import { parse } from "yaml";
import { Classifier } from "../../lib/chain/classifier.ts";
import { CONFIG_SCHEMA, parseConfig } from "../../lib/config/config.ts";
import { recordSchema } from "../../lib/record/schemas.ts";
import type { StreamRecord } from "../../lib/record/records.ts";
import { event, ring, status } from "../chain/records.ts";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { assertValidRecord } from "../record_validator.ts";
import { PROGRAM } from "../paths.ts";

const CASES = new URL("../cli/", import.meta.url);

/** Files of the golden cases by name: those of one folder each. */
function goldenFiles(name: string): [folder: string, text: string][] {
  return [...Deno.readDirSync(CASES)].filter(({ isDirectory }) => isDirectory).flatMap((folder) => {
    try {
      const text = Deno.readTextFileSync(new URL(`${folder.name}/${name}`, CASES));
      return [[folder.name, text] as [string, string]];
    } catch {
      return [];
    }
  });
}

Deno.test("recordSchema() takes every record of every fixture, classified", async (t) => {
  for (const name of imageFixtures()) {
    await t.step(name, () => {
      const { code, stdout } = new Deno.Command(PROGRAM, {
        args: ["scan", "--format", "ndjson", unpackFixture(name)],
        stderr: "null",
      }).outputSync();
      assert.equal(code, 0);
      const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
      for (const line of lines) assertValidRecord(JSON.parse(line));
    });
  }
});

Deno.test("recordSchema() takes the records that the tests of the command line pass on", () => {
  let checked = 0;
  for (const [folder, text] of goldenFiles("stdout")) {
    // Their records are not ours, or cut on purpose.
    if (/bad_lines|bombini|foreign/.test(folder)) continue;
    for (const line of text.split("\n").filter((line) => line.startsWith('{"type":"IOUring'))) {
      assertValidRecord(JSON.parse(line));
      checked++;
    }
  }
  assert.ok(checked > 30, `${checked} records`);
});

Deno.test("recordSchema() takes what the chain makes, and nothing else", () => {
  const classifier = new Classifier({});
  const connect = event({ opcode: "IORING_OP_CONNECT", op_info: { addr: "::1", port: 1 } });
  for (const record of [event(), connect, ring(), ring({ found_by: ["tctx"] }), status()]) {
    assertValidRecord(classifier.transform(record)!);
  }
  for (
    const wrong of [
      { ...event(), type: "IOUringElse" },
      { ...event(), extra: 1 },
      { ...event(), opcode: "OPENAT" },
      { ...event(), timestamp: "yesterday" },
      { ...event(), process: { ...event().process, uid: -1 } },
      { ...ring(), ctx_addr: "0x0123" },
      { ...ring(), ctx_addr: 12 },
      { ...ring(), pending_opcodes: [256] },
      { ...status(), phase: "middle" },
      { type: "IOUringEvent" },
    ]
  ) assert.throws(() => assertValidRecord(wrong), JSON.stringify(wrong));
});

Deno.test("recordSchema() without a name takes any record", () => {
  const validator = new Validator(recordSchema() as Schema, "2020-12");
  for (const record of [event(), ring(), status()] as StreamRecord[]) {
    assert.ok(validator.validate(record).valid);
  }
  assert.ok(!validator.validate({ type: "Else" }).valid);
});

Deno.test("CONFIG_SCHEMA agrees with parseConfig() on the configs of the golden cases", () => {
  const validator = new Validator(CONFIG_SCHEMA as Schema, "2020-12");
  const configs = goldenFiles("config.yaml");
  assert.ok(configs.length > 10);
  for (const [folder, text] of configs) {
    let isValid = true;
    try {
      parseConfig(new TextEncoder().encode(text), "config.yaml");
    } catch {
      isValid = false;
    }
    // Only what parseConfig() takes: it finds more than a schema can say.
    if (isValid) assert.ok(validator.validate(parse(text)).valid, folder);
  }
  for (const wrong of ["x: 1", "process_filter: {uid: 0}", "event_filter: {port: [-1]}"]) {
    assert.ok(!validator.validate(parse(wrong)).valid, wrong);
  }
});
