import assert from "node:assert/strict";
import { parseConfig } from "../../lib/config/config.ts";
import { ConfigError } from "../../lib/config/config_error.ts";
import { countCalls } from "../counted_work.ts";

function parse(source: string) {
  return parseConfig(new TextEncoder().encode(source), "f.yaml");
}

/** The error lines of a config, without snippets. */
function errors(source: string | Uint8Array): string[] {
  const bytes = typeof source === "string" ? new TextEncoder().encode(source) : source;
  try {
    parseConfig(bytes, "f.yaml");
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message.split("\n").filter((line) => line.startsWith("f.yaml:"))
      .map((line) => line.slice("f.yaml:".length));
  }
  return [];
}

const PUBLISHED = `process_fiter:
  uid:
    - 0
  euid:
    - 0
  binary:
    name:
      - nslookup
`;

Deno.test("parseConfig() reads every key", () => {
  const { config, warnings } = parse(`
process_filter:             # who
  deny_list: false
  uid: [0]
  euid: [0, 0x10, 4294967295]
  auid: [1000]
  binary: { name: [nslookup], path: [/usr/bin/uname], prefix: [/usr/local/bin/] }
`);
  assert.deepEqual(warnings, []);
  assert.deepEqual(config, {
    process_filter: {
      deny_list: false,
      uid: [0],
      euid: [0, 16, 4294967295],
      auid: [1000],
      binary: { name: ["nslookup"], path: ["/usr/bin/uname"], prefix: ["/usr/local/bin/"] },
    },
  });
});

Deno.test("parseConfig() takes the published config with one warning", () => {
  const { config, warnings } = parse(PUBLISHED);
  assert.deepEqual(config, {
    process_filter: { uid: [0], euid: [0], binary: { name: ["nslookup"] } },
  });
  assert.deepEqual(warnings, [
    { line: 1, column: 1, message: 'Key "process_fiter" is read as "process_filter"' },
  ]);
});

Deno.test("parseConfig() takes an empty config, and keys without a value", () => {
  for (const source of ["", "\n", "# nothing\n", "---\n", "{}", "null", "process_filter:\n"]) {
    assert.deepEqual(parse(source).config.process_filter ?? {}, {}, JSON.stringify(source));
  }
  assert.deepEqual(parse("process_filter:\n  uid:\n  euid: []\n  binary:\n").config, {
    process_filter: { uid: [], euid: [], binary: {} },
  });
});

Deno.test("parseConfig() follows aliases", () => {
  assert.deepEqual(parse("process_filter:\n  uid: &ids [0, 1]\n  euid: *ids\n").config, {
    process_filter: { uid: [0, 1], euid: [0, 1] },
  });
});

const WRONG: readonly (readonly [source: string, ...errors: string[]])[] = [
  ["process_filter:\n  euuid: [0]\n", '2:3: Unknown key "euuid", did you mean "euid"?'],
  ["proces_filter: {}\n", '1:1: Unknown key "proces_filter", did you mean "process_filter"?'],
  ["zebra: {}\n", '1:1: Unknown key "zebra", known: process_filter, event_filter, classifier'],
  ["process_filter:\n  gid: [0]\n", '2:3: Unknown key "gid", did you mean "uid"?'],
  [
    "process_filter: {}\nprocess_fiter: {}\n",
    '2:1: Keys "process_filter" and "process_fiter" are the same, keep one of them',
  ],
  [
    "process_fiter: {}\nprocess_filter: {}\n",
    '2:1: Keys "process_fiter" and "process_filter" are the same, keep one of them',
  ],
  ["process_filter: {uid: [0], uid: [1]}\n", '1:28: Duplicate key "uid"'],
  ["process_filter:\n  uid: 0\n", "2:8: Expected a list, found 0, put it in brackets"],
  ["process_filter:\n  uid: root\n", '2:8: Expected a list, found text "root", put it in brackets'],
  ["process_filter:\n  uid: [root]\n", '2:9: Expected a whole number, found text "root"'],
  ["process_filter:\n  uid: ['0']\n", '2:9: Expected a whole number, found text "0"'],
  ["process_filter:\n  uid: [1.0]\n", "2:9: Expected a whole number, found 1"],
  ["process_filter:\n  uid: [null]\n", "2:9: Expected a whole number, found nothing"],
  ["process_filter:\n  uid: [-1]\n", "2:9: Number -1 is not from 0 to 4294967295"],
  [
    "process_filter:\n  auid: [4294967296]\n",
    "2:10: Number 4294967296 is not from 0 to 4294967295",
  ],
  ["process_filter:\n  deny_list: yes\n", '2:14: Expected true or false, found text "yes"'],
  ["process_filter:\n  deny_list:\n", "2:13: Expected true or false, found nothing"],
  ["process_filter:\n  binary: [a]\n", "2:11: Expected keys and values, found a list"],
  ["process_filter:\n  binary: {name: [7]}\n", "2:19: Expected text, found 7, put it in quotes"],
  ['process_filter:\n  binary: {name: [""]}\n', "2:19: Text is empty, which matches nothing"],
  [
    'process_filter:\n  binary: {path: ["/a\\0"]}\n',
    "2:19: Text has a NUL in it, which matches nothing",
  ],
  [
    "process_filter:\n  binary: {name: [bin/sh]}\n",
    '2:19: Name "bin/sh" has a "/" in it, use path or prefix',
  ],
  ["process_filter:\n  binary: {path: [sh]}\n", '2:19: Path "sh" does not start with "/"'],
  [
    `process_filter:\n  binary: {name: [${"x".repeat(33)}]}\n`,
    `2:19: Text "${"x".repeat(33)}" is 33 bytes, at most 32 fit`,
  ],
  [
    `process_filter:\n  binary: {prefix: [/${"é".repeat(128)}]}\n`,
    `2:21: Text "/${"é".repeat(58)}…" is 257 bytes, at most 255 fit`,
  ],
  [
    "event_filter: {opcode: [OPENAT]}\n",
    '1:25: Unknown opcode or category "OPENAT", did you mean "IORING_OP_OPENAT"?',
  ],
  [
    "event_filter: {opcode: [netwrok, IORING_OP_OPENATT]}\n",
    '1:25: Unknown opcode or category "netwrok", did you mean "network"?',
    '1:34: Unknown opcode or category "IORING_OP_OPENATT", did you mean "IORING_OP_OPENAT"?',
  ],
  [
    "event_filter: {opcode: [ioring_op_openat, NETWORK, connect]}\n",
    '1:25: Unknown opcode or category "ioring_op_openat", did you mean "IORING_OP_OPENAT"?',
    '1:43: Unknown opcode or category "NETWORK", did you mean "network"?',
    '1:52: Unknown opcode or category "connect", did you mean "IORING_OP_CONNECT"?',
  ],
  ["event_filter: {path: [/etc]}\n", "1:22: Expected keys and values, found a list"],
  ["event_filter: {path: {exact: [etc]}}\n", '1:31: Path "etc" does not start with "/"'],
  [
    "event_filter: {path: {glob: ['etc/*']}}\n",
    '1:30: Glob "etc/*" starts with neither "/" nor "*"',
  ],
  ["event_filter: {path: {glob: ['/[a']}}\n", '1:30: Glob "/[a" has a "[" without its "]"'],
  [
    "event_filter: {path: {glob: ['/[z-a]']}}\n",
    '1:30: Glob "/[z-a]" has a range that runs backward',
  ],
  ["event_filter: {path: {glob: ['/***']}}\n", '1:30: Glob "/***" has three stars together'],
  ["event_filter: {path: {glob: ['/a\\']}}\n", '1:30: Glob "/a\\\\" ends in a backslash'],
  ["event_filter: {address: [10.0.0]}\n", '1:26: "10.0.0" is no IP address or CIDR range'],
  [
    "event_filter: {address: [10.0.0.0/33]}\n",
    '1:26: Prefix length of "10.0.0.0/33" is not from 0 to 32',
  ],
  [
    "event_filter: {address: [10.1.0.0/8]}\n",
    '1:26: "10.1.0.0/8" has bits set after its prefix, the range begins at 10.0.0.0',
  ],
  [
    "event_filter: {address: ['2001:db8:::/32']}\n",
    '1:26: "2001:db8:::/32" is no IP address or CIDR range',
  ],
  ["event_filter: {port: [65536]}\n", "1:23: Number 65536 is not from 0 to 65535"],
  ["event_filter: {port: [-1]}\n", "1:23: Number -1 is not from 0 to 65535"],
  [
    "event_filter: {port: [https]}\n",
    '1:23: "https" is no port or range of ports, such as 8000-8999',
  ],
  ["event_filter: {port: [9-8]}\n", '1:23: Port range "9-8" runs backward'],
  ["event_filter: {port: [1-70000]}\n", '1:23: Port range "1-70000" is not within 0 to 65535'],
  ["event_filter: {port: [1.5]}\n", "1:23: Expected a whole number, found 1.5"],
  [
    "classifier: {disable: [suid-hnt]}\n",
    '1:24: Unknown rule "suid-hnt", did you mean "suid-hunt"?',
  ],
  // The place is that of the item, whatever is wrong with those before it.
  [
    "classifier: {disable: [7, suid_hunt, suid-hnt]}\n",
    "1:24: Expected text, found 7, put it in quotes",
    '1:27: Unknown rule "suid_hunt", did you mean "suid-hunt"?',
    '1:38: Unknown rule "suid-hnt", did you mean "suid-hunt"?',
  ],
  [
    "classifier:\n  rules:\n    - 7\n    - {id: self-delete, title: x, severity: low, when: []}\n",
    "3:7: Expected keys and values, found 7",
    '4:12: Rule "self-delete" is there already',
    "4:56: List is empty, it takes one or more",
  ],
  [
    "classifier: {severity: {suid-hunt: severe}}\n",
    '1:36: Unknown severity "severe", known: info, low, medium, high, critical',
  ],
  ["classifier: {severity: {x-y-z: low}}\n", '1:25: Unknown rule "x-y-z"'],
  [
    "classifier:\n  rules:\n    - id: a\n      when: {}\n",
    '3:7: Missing key "title"',
    '3:7: Missing key "severity"',
    "4:13: Condition is empty, which matches everything",
  ],
  [
    "classifier: {rules: [{id: a, title: x, severity: low, when: {opcode: [], path: {glob: []}}}]}\n",
    "1:61: Condition is empty, which matches everything",
  ],
  [
    "classifier: {rules: [{id: A b, title: x, severity: low, when: {rejected: true}}]}\n",
    '1:27: Rule id "A b" is not lower-case words joined by dashes',
  ],
  [
    "classifier: {rules: [{id: self-delete, title: x, severity: low, when: {rejected: true}}]}\n",
    '1:27: Rule "self-delete" is there already',
  ],
  [
    "classifier: {rules: [{id: a, title: x, severity: low, attack: [X1], when: {rejected: true}}]}\n",
    '1:64: "X1" is no ATT&CK id, such as T1070.004',
  ],
  [
    "classifier: {rules: [{id: a, title: x, severity: low, when: {rejected: true, operation: [IORING_REGISTER_PROBE]}}]}\n",
    "1:61: Condition never holds: operation is of a registration, setup_flags and without_fd are " +
    "of a ring, other keys of a request",
  ],
  [
    "classifier: {rules: [{id: a, title: x, severity: low, when: [{sqe_flags: [ASYNC], times: 1}]}]}\n",
    '1:75: Unknown SQE flag "ASYNC", did you mean "IOSQE_ASYNC"?',
    "1:90: Number 1 is not from 2 to 1000",
  ],
  ["- a\n", "1:1: Expected keys and values, found a list"],
  ["hello\n", '1:1: Expected keys and values, found text "hello"'],
  ["? [a]\n: 1\n", "1:3: Expected a key, found a list"],
  ["process_filter: *x\n", '1:17: Unknown anchor "x"'],
  ["process_filter: &x\n  uid: [*x]\n", "2:3: Expected a whole number, found keys and values"],
  [
    "process_filter: {uid: [0]\n\n",
    "1:26: Not a YAML config: Flow map in block collection must be sufficiently indented and end " +
    "with a }",
  ],
  ["a: 1\n---\nb: 2\n", "2:1: Not a YAML config: Expected one document, found another"],
  ["process_filter: !who {}\n", "1:17: Not a YAML config: Unresolved tag: !who"],
  ["\tprocess_filter: {}\n", "1:1: Not a YAML config: Tabs are not allowed as indentation"],
  [
    "process_filter:\n  uid: 0\n  eiud: [-1]\n",
    "2:8: Expected a list, found 0, put it in brackets",
    '3:3: Unknown key "eiud", did you mean "euid"?',
  ],
];

for (const [source, ...expected] of WRONG) {
  Deno.test(`parseConfig() refuses ${JSON.stringify(source.slice(0, 60))}`, () => {
    assert.deepEqual(errors(source), expected);
  });
}

Deno.test("parseConfig() shows the line and a caret", () => {
  assert.throws(() => parse("process_filter:\n  euuid: [0]\n"), {
    name: "ConfigError",
    message: 'Cannot use config "f.yaml": 1 error\n' +
      'f.yaml:2:3: Unknown key "euuid", did you mean "euid"?\n' +
      "    euuid: [0]\n" +
      "    ^",
  });
});

Deno.test("parseConfig() puts the caret under wide and hostile characters", () => {
  assert.throws(() => parse("process_filter: {binary: {name: [漢字, \x9b, 7]}}\n"), {
    message: /\n {2}process_filter: \{binary: \{name: \[漢字, \\x9b, 7\]\}\}\n {47}\^$/,
  });
});

Deno.test("parseConfig() refuses text that is not UTF-8", () => {
  assert.deepEqual(errors(new Uint8Array([0x61, 0x3a, 0x0a, 0x62, 0xff])), [
    "2:2: Expected UTF-8 text, found other bytes",
  ]);
});

Deno.test("parseConfig() counts what it does not show", () => {
  const source = `process_filter:\n  uid: [${Array(130).fill("x").join(", ")}]\n`;
  assert.equal(errors(source).length, 100);
  assert.throws(() => parse(source), /: 130 errors\n[^]*\nand 30 more$/);
});

Deno.test("parseConfig() says where brackets nest deeper than they may", () => {
  const lists = "# ]\n? [a]\n: - '[' # {\n  - " + "[".repeat(100);
  const deep = "Not a YAML config: Nested too deeply";
  assert.deepEqual(errors(`${lists}[`.padEnd(500_000, "[")), [`4:105: ${deep}`]);
  assert.ok(!errors(lists + "]".repeat(100)).join().includes(deep));
  assert.deepEqual(errors("{a: ".repeat(20_000)), [`1:401: ${deep}`]);
});

Deno.test("parseConfig() gives the library no more than it can hold", () => {
  const much = "Not a YAML config: More than 262144 words and signs";
  const ids = (count: number) => `process_filter: {uid: [${"1,".repeat(count)}]}\n# , ,\n`;
  assert.deepEqual(errors(ids(131_000)), []);
  assert.deepEqual(errors(ids(140_000)), [
    `1:${"process_filter: {uid: [".length + 2 ** 18 - 5}: ${much}`,
  ]);
  assert.match(errors(`"${"\\q".repeat(500_000)}"`).join(), /^1:1: .*: More than 262144/);
  for (const sign of ['"', "[]", ":\n", "- \n"]) {
    assert.match(errors(sign.repeat(1024 * 1024 / sign.length)).join(), /: More than 262144/);
  }
});

Deno.test("parseConfig() follows few aliases, and no deep nesting", () => {
  const laughs = ["a: &a [x, x]", "b: &b [*a, *a]", "c: &c [*b, *b]", "process_filter: {uid: *c}"];
  assert.ok(errors(laughs.join("\n")).length > 0);
  const aliases = `process_filter:\n  uid: [&a 0, ${Array(50_000).fill("*a").join(",")}]\n`;
  assert.deepEqual(errors(aliases), [
    `2:${"  uid: [&a 0, ".length + 100 * 3 + 1}: Too many aliases: at most 100 are followed`,
  ]);
  assert.match(
    errors("- ".repeat(50_000)).join("\n"),
    /^1:\d+: Not a YAML config: Nested too deeply$/,
  );
});

Deno.test("parseConfig() does not compare every key with every other", async () => {
  const length = 30_000;
  const source = Array.from({ length }, (_, i) => `k${i}: 1`).join("\n");
  const methods = ["some", "every", "find", "includes", "indexOf"];
  await countCalls(Array.prototype, { methods, most: 100 * length }, () => {
    assert.equal(errors(source).length, 100);
  });
});
