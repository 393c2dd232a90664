/**
 * Every flag, operand, config key, error message and record type has a golden case. What has none
 * is named.
 */
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseDocument } from "yaml";
import { COMMANDS, PROGRAM_FLAGS } from "../../lib/cli/flags.ts";
import { CONFIG_SCHEMA } from "../../lib/config/config.ts";
import { RECORD_SCHEMA_NAMES, recordSchema } from "../../lib/record/schemas.ts";
import type { JsonObject } from "../../lib/uapi/json_value.ts";
import { ROOT } from "../paths.ts";

const HERE = fileURLToPath(new URL("./", import.meta.url));

/** The text of every file of this name in the cases. */
function texts(name: string): string[] {
  return globSync(`*/${name}`, { cwd: HERE }).sort().map((path) => Deno.readTextFileSync(HERE + path));
}

const CMDS = texts("cmd");
const STDERR = texts("stderr").join("\n");

Deno.test("every flag has a golden case", () => {
  const lacking: string[] = [];
  const check = (where: string, { name, short }: { name: string; short?: string }) => {
    const words = short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`];
    const isUsed = (word: string) =>
      CMDS.some((cmd) => new RegExp(`iouring ${where}[^|;&]*(?<!\\S)${word}(?![\\w-])`).test(cmd));
    for (const word of words) if (!isUsed(word)) lacking.push(`iouring ${where}${word}`);
  };
  for (const flag of PROGRAM_FLAGS) check("", flag);
  for (const { name, flags, operand } of COMMANDS) {
    for (const flag of flags) check(`${name} `, flag);
    for (const choice of operand?.choices ?? []) {
      const isUsed = CMDS.some((cmd) => cmd.includes(`iouring ${name}`) && cmd.includes(choice));
      if (!isUsed) lacking.push(`iouring ${name} ${choice}`);
    }
    for (const { name: flag, choices } of flags) {
      for (const choice of choices ?? []) {
        const isUsed = CMDS.some((cmd) => new RegExp(`--${flag}[ =]${choice}\\b`).test(cmd));
        if (!isUsed) lacking.push(`--${flag} ${choice}`);
      }
    }
  }
  assert.deepEqual(lacking, []);
});

Deno.test("every config key has a golden case", () => {
  const configs = texts("config.yaml").map((text) => parseDocument(text))
    .filter(({ errors }) => errors.length === 0).flatMap((document) => {
      try {
        return [document.toJS()];
      } catch {
        return []; // An alias that stands for nothing.
      }
    });
  // A mapping that stands in several places is used when it is used in one of them.
  const unused = new Map<JsonObject, Set<string>>();
  const visit = (schema: JsonObject, holders: readonly unknown[]) => {
    const values = holders.flat().filter((value) => typeof value === "object" && value !== null);
    for (const form of [schema.items, ...(schema.anyOf ?? []) as JsonObject[]]) {
      if (form !== undefined) visit(form as JsonObject, values);
    }
    const properties = schema.properties as JsonObject | undefined;
    if (properties === undefined) return;
    const left = unused.get(properties) ?? new Set(Object.keys(properties));
    unused.set(properties, left);
    for (const [key, value] of Object.entries(properties)) {
      const found = (values as Record<string, unknown>[]).map((value) => value[key])
        .filter((value) => value !== undefined);
      if (found.length > 0) left.delete(key);
      visit(value as JsonObject, found);
    }
  };
  visit(CONFIG_SCHEMA, configs);
  assert.deepEqual([...unused.values()].flatMap((keys) => [...keys]), []);
});

/** Texts that begin like a message and are something else. */
const NO_MESSAGES = [/^Usage: /, /^More: /, /^Examples$/, /^Flags$/, /^Commands$/, /^Array\b/];
/** Messages that no command line brings about; each has a test of its own. */
const NOT_BY_A_COMMAND: readonly RegExp[] = [
  /^Internal error:/, // a mistake of ours
  /^The reader has gone/, // never shown
  /^Gave up root/, // only root sees it
  /^Cannot capture:/, // what the host lacks: test/live/refused_test.ts
  /^this kernel's types/, // a file of another kernel's: test/live/refused_test.ts
  /^Config of iouring/, // a title
  /^A record of iouring/, // a title
];

Deno.test("every error message has a golden case", () => {
  const lacking: string[] = [];
  const sources = globSync(["lib/{cli,config,chain}/*.ts", "lib/uapi/ip_address.ts"], { cwd: ROOT })
    .filter((path) => !/\/(flags|rules|man_page|completions)\.ts$/.test(path)).sort();
  for (const path of sources) {
    const source = Deno.readTextFileSync(ROOT + path)
      .replaceAll(/\/\*.*?\*\//gs, "").replaceAll(/^\s*\/\/.*$/gm, "")
      // What a schema says of a key.
      .replaceAll(/about: "[^"]*"|(?:list|boolean)\([^;]*?"[A-Z][^"]*"\)/gs, "");
    // Up to the first value in it; a message that begins with a value is known by what follows.
    for (const [, text] of source.matchAll(/["'`](?:\$\{[^}]*\})? ?([A-Z][a-z]+ [^"'`$\\]+)/g)) {
      const message = text!.trimEnd();
      const isExempt = [...NO_MESSAGES, ...NOT_BY_A_COMMAND].some((it) => it.test(message));
      if (!isExempt && !STDERR.includes(message)) lacking.push(`${path}: ${message}`);
    }
  }
  assert.deepEqual(lacking, []);
});

Deno.test("every record type and phase has a golden case", () => {
  const lines = texts("stdout").flatMap((text) => text.split("\n"));
  const types = RECORD_SCHEMA_NAMES.map((name) => `"type":"${recordSchema(name).title}"`);
  const phases = ["start", "lost", "end"].map((phase) => `"phase":"${phase}"`);
  const lacking = [...types, ...phases].filter((key) => !lines.some((line) => line.includes(key)));
  assert.deepEqual(lacking, []);
});
