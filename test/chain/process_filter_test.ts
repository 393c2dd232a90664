import assert from "node:assert/strict";
import { processFilter, type Verdict } from "../../lib/chain/process_filter.ts";
import type { ProcessFilterConfig } from "../../lib/config/process_filter.ts";

const NSLOOKUP = {
  pid: 10,
  uid: 0,
  euid: 0,
  auid: 1000,
  filename: "nslookup",
  binary_path: "/usr/bin/nslookup",
};
const CURL = { ...NSLOOKUP, uid: 1000, filename: "curl", binary_path: "/usr/local/bin/curl" };

/** Name, filter, what it says of nslookup, what it says of curl. */
const CASES: readonly (readonly [string, ProcessFilterConfig, Verdict, Verdict])[] = [
  ["no condition", {}, "pass", "pass"],
  ["empty lists", { uid: [], euid: [], auid: [], binary: { name: [] } }, "pass", "pass"],
  ["a uid", { uid: [0] }, "pass", "drop"],
  ["uids are alternatives", { uid: [5, 0, 1000] }, "pass", "pass"],
  ["euid is its own condition", { euid: [0] }, "pass", "pass"],
  ["an auid", { auid: [0] }, "drop", "drop"],
  ["uid AND euid", { uid: [0], euid: [1] }, "drop", "drop"],
  ["uid AND euid AND auid", { uid: [0], euid: [0], auid: [1000] }, "pass", "drop"],
  ["a name", { binary: { name: ["nslookup"] } }, "pass", "drop"],
  ["a name is the whole name", { binary: { name: ["nslooku"] } }, "drop", "drop"],
  ["a name is not a path", { binary: { path: ["/nslookup"] } }, "drop", "drop"],
  ["a path", { binary: { path: ["/usr/local/bin/curl"] } }, "drop", "pass"],
  ["a prefix", { binary: { prefix: ["/usr/local/"] } }, "drop", "pass"],
  ["a prefix ends anywhere", { binary: { prefix: ["/usr/lo"] } }, "drop", "pass"],
  [
    "name OR path",
    { binary: { name: ["nslookup"], path: ["/usr/local/bin/curl"] } },
    "pass",
    "pass",
  ],
  ["name OR prefix", { binary: { name: ["x"], prefix: ["/usr/bin/"] } }, "pass", "drop"],
  ["uid AND binary", { uid: [1000], binary: { name: ["nslookup", "curl"] } }, "drop", "pass"],
  ["deny_list without a condition", { deny_list: true }, "pass", "pass"],
  ["deny_list with empty lists", { deny_list: true, uid: [], binary: {} }, "pass", "pass"],
  ["deny_list turns a uid round", { deny_list: true, uid: [0] }, "drop", "pass"],
  [
    "deny_list turns the whole round",
    { deny_list: true, uid: [0], binary: { name: ["curl"] } },
    "pass",
    "pass",
  ],
  [
    "deny_list with everything fulfilled",
    { deny_list: true, uid: [0, 1000], euid: [0], binary: { prefix: ["/usr/"] } },
    "drop",
    "drop",
  ],
];

for (const [name, config, nslookup, curl] of CASES) {
  Deno.test(`processFilter() judges ${name}`, () => {
    const judge = processFilter(config);
    assert.equal(judge({ type: "IOUringEvent", process: NSLOOKUP }), nslookup);
    assert.equal(judge({ type: "IOUringEntry", pid: 10, process: CURL }), curl);
  });
}

Deno.test("processFilter() takes a value that could not be read as no match", () => {
  const process = { ...NSLOOKUP, auid: 4294967295 };
  const unset = { process };
  const unread = { process, missing: ["process.auid"] };
  assert.equal(processFilter({ auid: [4294967295] })(unset), "pass");
  assert.equal(processFilter({ auid: [4294967295] })(unread), "unreadable");
  assert.equal(processFilter({ auid: [1000] })(unset), "drop");
  assert.equal(processFilter({ auid: [1000] })(unread), "unreadable");
  assert.equal(processFilter({ deny_list: true, auid: [4294967295] })(unset), "drop");
  assert.equal(processFilter({ deny_list: true, auid: [4294967295] })(unread), "pass");
  // Another condition decides without it.
  assert.equal(processFilter({ uid: [7], auid: [1000] })(unread), "drop");
  assert.equal(processFilter({ auid: [1000], uid: [7] })(unread), "drop");
  assert.equal(processFilter({ uid: [0] })(unread), "pass");
});

Deno.test("processFilter() judges a record without a process by nothing", () => {
  const orphan = { type: "IOUringEntry", pid: 0, comm: "" };
  assert.equal(processFilter({})(orphan), "pass");
  assert.equal(processFilter({ uid: [0] })(orphan), "unreadable");
  assert.equal(processFilter({ binary: { name: ["x"] } })(orphan), "unreadable");
  assert.equal(processFilter({ deny_list: true, uid: [0] })(orphan), "pass");
  assert.equal(processFilter({ uid: [0] })({ process: null }), "unreadable");
});

Deno.test("processFilter() matches one of name and path when the other could not be read", () => {
  const record = { process: { ...NSLOOKUP, binary_path: "" }, missing: ["process.binary_path"] };
  assert.equal(processFilter({ binary: { name: ["nslookup"], path: ["/x"] } })(record), "pass");
  assert.equal(processFilter({ binary: { name: ["y"], path: ["/x"] } })(record), "unreadable");
  assert.equal(processFilter({ binary: { name: ["y"] } })(record), "drop");
});

Deno.test("processFilter() knows a process without an executable", () => {
  const record = { process: { ...NSLOOKUP, filename: "", binary_path: "" } };
  assert.equal(processFilter({ binary: { prefix: ["/"] } })(record), "drop");
});

Deno.test("processFilter() compares bytes where text is not UTF-8", () => {
  const record = {
    process: {
      ...NSLOOKUP,
      filename: "a\ufffd",
      filename_hex: "61ff",
      binary_path: "/bin/a\ufffd",
      binary_path_hex: "2f62696e2f61ff",
    },
  };
  assert.equal(processFilter({ binary: { name: ["a\ufffd"] } })(record), "drop");
  assert.equal(processFilter({ binary: { path: ["/bin/a\ufffd"] } })(record), "drop");
  assert.equal(processFilter({ binary: { prefix: ["/bin/a"] } })(record), "pass");
});

Deno.test("processFilter() takes values of another type as no match", () => {
  const judge = processFilter({ uid: [0], binary: { prefix: ["/"] } });
  assert.equal(judge({ process: { uid: "0", binary_path: 7 }, missing: "x" }), "drop");
});
