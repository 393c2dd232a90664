import assert from "node:assert/strict";
import { eventFilter } from "../../lib/chain/event_filter.ts";
import { recordFilter } from "../../lib/chain/filter.ts";
import type { Verdict } from "../../lib/chain/process_filter.ts";
import type { Config } from "../../lib/config/config.ts";
import type { EventFilterConfig } from "../../lib/config/event_filter.ts";
import type { JsonObject } from "../../lib/uapi/json_value.ts";
import { event, ring } from "./records.ts";

const OPEN = event({ opcode: "IORING_OP_OPENAT", op_info: { path: "/etc/shadow" } });
const CONNECT = event({
  opcode: "IORING_OP_CONNECT",
  op_info: { addr: "10.1.2.3", port: 8443, target: { kind: "socket", local_addr: "10.9.9.9" } },
});
const SEND = event({
  opcode: "IORING_OP_SEND",
  op_info: { fd: 3, target: { kind: "socket", addr: "2001:db8::5", port: 443 } },
});

/** Filter, what it says of OPEN, of CONNECT, of SEND. */
const CASES: readonly (readonly [EventFilterConfig, Verdict, Verdict, Verdict])[] = [
  [{}, "pass", "pass", "pass"],
  [{ opcode: [], path: {}, address: [], port: [] }, "pass", "pass", "pass"],
  [{ opcode: ["IORING_OP_OPENAT"] }, "pass", "drop", "drop"],
  [{ opcode: ["network"] }, "drop", "pass", "pass"],
  [{ opcode: ["file", "IORING_OP_SEND"] }, "pass", "drop", "pass"],
  [{ path: { exact: ["/etc/shadow"] } }, "pass", "drop", "drop"],
  [{ path: { exact: ["/x"], prefix: ["/etc/"] } }, "pass", "drop", "drop"],
  [{ path: { glob: ["/etc/sh*"] } }, "pass", "drop", "drop"],
  [{ path: { prefix: ["/etc/passwd"] } }, "drop", "drop", "drop"],
  [{ address: ["10.0.0.0/8"] }, "drop", "pass", "drop"],
  [{ address: ["10.9.0.0/16"] }, "drop", "drop", "drop"],
  [{ address: ["2001:db8::/32"] }, "drop", "drop", "pass"],
  [{ port: [443] }, "drop", "drop", "pass"],
  [{ port: ["8000-8999"] }, "drop", "pass", "drop"],
  [{ address: ["10.0.0.0/8"], port: [443] }, "drop", "drop", "drop"],
  [{ opcode: ["network"], path: { prefix: ["/"] } }, "drop", "drop", "drop"],
];

for (const [config, open, connect, send] of CASES) {
  Deno.test(`eventFilter() judges by ${JSON.stringify(config)}`, () => {
    const judge = eventFilter(config);
    assert.deepEqual([OPEN, CONNECT, SEND].map(judge), [open, connect, send]);
    const requests = [OPEN, CONNECT, SEND].map(({ opcode, op_info }, i) => ({
      opcode,
      opcode_number: [18, 16, 26][i]!,
      user_data: "0x0",
      source: [],
      ...(op_info === undefined ? {} : { op_info }),
    }));
    const any = [open, connect, send].includes("pass") ? "pass" : "drop";
    assert.equal(judge(ring({ history: requests })), any);
    assert.equal(judge(ring({ in_flight: requests.slice(0, 1) })), open);
  });
}

Deno.test("eventFilter() looks at every path that a request names, made plain", () => {
  const judge = eventFilter({ path: { exact: ["/etc/shadow"] } });
  const paths = (op_info: JsonObject, over = {}) =>
    judge(event({ opcode: "IORING_OP_LINKAT", op_info, ...over }));
  assert.equal(paths({ old_path: "/x", new_path: "/etc//./shadow" }), "pass");
  assert.equal(paths({ old_path: "/proc/7/root/etc/shadow", new_path: "/x" }), "pass");
  assert.equal(paths({ path: "../etc/shadow", dfd: "AT_FDCWD" }), "drop");
  const process = { ...event().process, cwd: "/usr" };
  assert.equal(paths({ path: "../etc/shadow", dfd: "AT_FDCWD" }, { process }), "pass");
  assert.equal(paths({ path: "../etc/shadow", dfd: 5 }, { process }), "drop");
  assert.equal(paths({ path: "../etc/shadow", dfd: 5, dfd_path: "/usr" }), "pass");
  const renamed = { old_path: "x", old_dfd: 5, new_path: "shadow", new_dfd: 6 };
  assert.equal(paths({ ...renamed, old_dfd_path: "/etc" }), "drop");
  assert.equal(paths({ ...renamed, new_dfd_path: "/etc" }), "pass");
  // The working directory is none of theirs.
  assert.equal(paths({ path: "/proc/self/cwd/../etc/shadow", dfd: 5, dfd_path: "/a/b" }), "drop");
  const onFile = { path: "", flags: "AT_EMPTY_PATH", dfd: 5, dfd_path: "/etc/shadow" };
  assert.equal(paths(onFile), "pass");
  assert.equal(paths({ ...onFile, flags: "AT_SYMLINK_NOFOLLOW" }), "drop");
  const linked = { old_path: "", new_path: "/x", old_dfd: 5, old_dfd_path: "/etc/shadow" };
  assert.equal(paths({ ...linked, flags: "AT_EMPTY_PATH" }), "pass");
  assert.equal(paths(linked), "drop");
  // A process by its own id, which is 42.
  const inEtc = { process: { ...event().process, cwd: "/etc" } };
  assert.equal(paths({ path: "/proc/42/cwd/shadow" }, inEtc), "pass");
  assert.equal(paths({ path: "/proc/42/task/43/cwd/./shadow" }, inEtc), "pass");
  assert.equal(paths({ path: "/proc/43/cwd/shadow" }, inEtc), "drop");
  // A directory taken for the root.
  const inside = { path: "/../shadow", dfd: 5, dfd_path: "/etc", resolve: "RESOLVE_IN_ROOT" };
  assert.equal(paths(inside), "pass");
  assert.equal(paths({ ...inside, path: "/etc/./shadow", dfd_path: "/" }), "pass");
  assert.equal(paths({ ...inside, resolve: "RESOLVE_BENEATH" }), "drop");
  assert.equal(paths({ ...inside, dfd_path: "/srv" }), "drop");
  // The same text as in another request, which was looked at before.
  assert.equal(paths({ path: "/shadow" }), "drop");
  assert.equal(paths({ ...inside, path: "/shadow" }), "pass");
  assert.equal(
    paths({ path: "shadow", dfd: 5, dfd_path: "/etc", dfd_path_hex: "2f657463" }),
    "drop",
  );
  // As it is written, too.
  assert.equal(
    eventFilter({ path: { prefix: ["/proc/7/"] } })(
      event({ op_info: { path: "/proc/7/root/etc/shadow" } }),
    ),
    "pass",
  );
});

Deno.test("eventFilter() compares bytes where a path is not UTF-8", () => {
  const record = event({ op_info: { path: "/a\ufffd", path_hex: "2f61ff" } });
  assert.equal(eventFilter({ path: { exact: ["/a\ufffd"] } })(record), "drop");
  assert.equal(eventFilter({ path: { prefix: ["/a"] } })(record), "pass");
  assert.equal(eventFilter({ path: { glob: ["/a?"] } })(record), "pass");
});

Deno.test("eventFilter() says that a value could not be read", () => {
  const unread = event({ op_info: { path: "" }, missing: ["op_info.path"] });
  assert.equal(eventFilter({ path: { prefix: ["/etc/"] } })(unread), "unreadable");
  assert.equal(eventFilter({ port: [1] })(unread), "drop");
  const history = [{
    opcode: "IORING_OP_CONNECT",
    opcode_number: 16,
    user_data: "0x0",
    source: [],
  }];
  const entry = ring({ history: history as never, missing: ["history.0.op_info.addr"] });
  assert.equal(eventFilter({ address: ["10.0.0.0/8"] })(entry), "unreadable");
});

Deno.test("eventFilter() leaves out what has no request", () => {
  const judge = eventFilter({ opcode: ["network"] });
  assert.equal(judge({ type: "IOUringRegister" }), "drop");
  assert.equal(judge(ring()), "drop");
  assert.equal(judge(ring({ pending_opcodes: [0, 16] })), "pass");
});

Deno.test("recordFilter() is process_filter AND event_filter, on generated configs", () => {
  let seed = 3;
  const random = (below: number) => {
    seed = Math.imul(seed, 1103515245) + 12345 >>> 0;
    return (seed >>> 8) % below;
  };
  const some = <T>(values: readonly T[]) => values.filter(() => random(3) === 0);
  const records = Array.from({ length: 40 }, (_, i) =>
    event({
      process: {
        ...event().process,
        uid: i % 3,
        euid: i % 2,
        auid: [1000, 4294967295][i % 2]!,
        filename: ["a", "b"][i % 2]!,
        binary_path: ["/bin/a", "/opt/b"][i % 2]!,
      },
      opcode: ["IORING_OP_OPENAT", "IORING_OP_CONNECT", "IORING_OP_NOP"][i % 3]!,
      op_info: [{ path: "/etc/x" }, { addr: "10.0.0.1", port: 80 }, {}][i % 3]!,
    }));
  let passed = 0;
  for (let i = 0; i < 1000; i++) {
    const who = {
      deny_list: random(2) === 0,
      uid: some([0, 1, 2]),
      euid: some([0, 1]),
      auid: some([1000, 4294967295]),
      binary: { name: some(["a", "b"]), path: some(["/bin/a"]), prefix: some(["/opt/"]) },
    };
    const what = {
      opcode: some(["IORING_OP_OPENAT", "network", "ring"]),
      port: some([80]),
      path: { prefix: some(["/etc/"]) },
    };
    const judge = recordFilter({ process_filter: who, event_filter: what } as Config);
    for (const record of records) {
      const { process, opcode, op_info } = record;
      const any = <T>(list: readonly T[], value: T) => list.length === 0 || list.includes(value);
      const { name, path, prefix } = who.binary;
      const binary = name.length + path.length + prefix.length === 0 ||
        name.includes(process.filename) || path.includes(process.binary_path) ||
        prefix.some((it) => process.binary_path.startsWith(it));
      const conditions = who.uid.length + who.euid.length + who.auid.length + name.length +
        path.length + prefix.length;
      const isWho = any(who.uid, process.uid) && any(who.euid, process.euid) &&
        any(who.auid, process.auid) && binary;
      const category = { IORING_OP_CONNECT: "network", IORING_OP_NOP: "ring" }[opcode] ?? opcode;
      const isWhat = any(what.opcode, category) &&
        (what.port.length === 0 || op_info?.port === 80) &&
        (what.path.prefix.length === 0 || op_info?.path !== undefined);
      const expected = (conditions === 0 || isWho !== who.deny_list) && isWhat;
      assert.equal(judge(record) === "pass", expected, JSON.stringify([who, what, record]));
      if (expected) passed++;
    }
  }
  assert.ok(passed > 1000);
});
