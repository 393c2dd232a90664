import assert from "node:assert/strict";
import { COMMANDS, EXIT_CODES, PROGRAM_FLAGS } from "../../lib/cli/flags.ts";
import { help } from "../../lib/cli/help.ts";
import { parse } from "../../lib/cli/parse.ts";
import { parseConfig } from "../../lib/config/config.ts";
import { RULES } from "../../lib/config/rules.ts";

function flags(...argv: string[]) {
  const request = parse(argv);
  assert.equal(request.kind, "command");
  if (request.kind !== "command") throw new Error();
  return { operand: request.args.operand, ...Object.fromEntries(request.args.flags) };
}

Deno.test("parse() reads flags before and after the operand", () => {
  const expected = { operand: "dump.raw", format: "json", output: "a b" };
  assert.deepEqual(flags("scan", "--format", "json", "-o", "a b", "dump.raw"), expected);
  assert.deepEqual(flags("scan", "dump.raw", "--format=json", "--output=a b"), expected);
});

Deno.test("parse() reads switches, a lone dash, and everything after two dashes as it is", () => {
  assert.deepEqual(flags("filter", "--check", "-c", "-"), {
    operand: undefined,
    check: "",
    config: "-",
  });
  assert.deepEqual(flags("scan", "-"), { operand: "-" });
  assert.deepEqual(flags("scan", "--", "--help"), { operand: "--help" });
  assert.deepEqual(flags("scan", "--output=-x", "i"), { operand: "i", output: "-x" });
});

Deno.test("parse() knows help and version", () => {
  assert.deepEqual(parse(["--version"]), { kind: "version", verify: false });
  assert.deepEqual(parse(["--version", "--verify"]), { kind: "version", verify: true });
  assert.deepEqual(parse(["-V"]), { kind: "version", verify: false });
  assert.deepEqual(parse(["-h"]), { kind: "help", long: false });
  assert.deepEqual(parse(["--help"]), { kind: "help", long: true });
  assert.deepEqual(parse(["scan", "--format=json", "--help"]), {
    kind: "help",
    long: true,
    command: COMMANDS.find(({ name }) => name === "scan"),
  });
});

const WRONG: readonly (readonly [argv: string, message: string])[] = [
  ["", "No command given, see iouring --help"],
  ["scna x", 'Unknown command "scna", did you mean "scan"?'],
  ["zebra", 'Unknown command "zebra", see iouring --help'],
  ["--versoin", 'Unknown flag "--versoin", did you mean "--version"?'],
  ["--version=1", 'Flag "--version" takes no value'],
  ["scan", "Missing IMAGE, see iouring scan -h"],
  ["scan a b", 'Unexpected argument "b": scan takes one'],
  ["scan --fromat json a", 'Unknown flag "--fromat" of scan, did you mean "--format"?'],
  ["scan -x a", 'Unknown flag "-x" of scan'],
  ["scan -undefined a", 'Unknown flag "-undefined" of scan'],
  ["scan --check a", 'Unknown flag "--check" of scan'],
  ["scan --format", 'Flag "--format" needs a value: ndjson, json, table'],
  ["scan --format= a", 'Flag "--format" needs a value: ndjson, json, table'],
  ["scan -o --append a", 'Flag "--output" needs a value: FILE'],
  ["scan --format tabel a", 'Flag "--format" cannot be "tabel", did you mean "table"?'],
  ["scan --color red a", 'Flag "--color" cannot be "red", it is one of auto, always, never'],
  ["scan --append=1 a", 'Flag "--append" takes no value'],
  ["scan -o a -o b c", 'Flag "--output" is given twice'],
];

for (const [argv, message] of WRONG) {
  Deno.test(`parse() refuses "${argv}"`, () => {
    assert.throws(() => parse(argv === "" ? [] : argv.split(" ")), { name: "UsageError", message });
  });
}

Deno.test("help() fits the terminal and names every flag", () => {
  for (const command of [undefined, ...COMMANDS]) {
    for (const long of [false, true]) {
      const options = command === undefined ? { long } : { long, command };
      const text = help({ ...options, columns: 80 });
      for (const { name } of command?.flags ?? PROGRAM_FLAGS) assert.ok(text.includes(`--${name}`));
      for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
      // What can be typed stays in one piece.
      const narrow = help({ ...options, columns: 60 }).replaceAll(/^(?:Usage:| {4}\w).*$/gm, "");
      for (const line of narrow.split("\n")) assert.ok(line.length <= 60, line);
      assert.equal(text.startsWith("Examples:"), long);
    }
  }
});

Deno.test("The README lists every flag as the flag table has it", async () => {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const rows = readme.split("\n").map((line) => line.split("|").map((cell) => cell.trim()).join("|"));
  for (const flag of COMMANDS.flatMap(({ flags }) => flags)) {
    const short = flag.short === undefined ? "" : `-${flag.short}, `;
    const value = flag.value === undefined ? "" : ` ${flag.value}`;
    const row = `|\`${short}--${flag.name}${value}\`|${flag.help}|`;
    assert.ok(rows.includes(row), `README.md lacks ${row}`);
  }
});

Deno.test("The README lists every rule and every exit code", async () => {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const rows = readme.split("\n").map((line) => line.split("|").map((cell) => cell.trim()).join("|"));
  for (const { id, severity, title, attack, next } of RULES) {
    const row = `|\`${id}\`|${severity}|${title}|${attack.join(" ")}|${next}|`;
    assert.ok(rows.includes(row), `README.md lacks ${row}`);
  }
  for (const [code, meaning] of EXIT_CODES) {
    assert.ok(rows.includes(`|${code}|${meaning}|`), `README.md lacks exit code ${code}`);
  }
});

Deno.test("The config of the README is one", async () => {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const [, yaml] = /```yaml\n([^]*?)```/.exec(readme)!;
  const { config, warnings } = parseConfig(new TextEncoder().encode(yaml), "README.md");
  assert.deepEqual(warnings, []);
  assert.deepEqual(Object.keys(config), ["process_filter", "event_filter", "classifier"]);
});
