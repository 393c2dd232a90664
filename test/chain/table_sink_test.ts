import assert from "node:assert/strict";
import { TableSink, type TableSinkOptions } from "../../lib/chain/table_sink.ts";
import { displayWidth } from "../../lib/record/display_width.ts";
import type { RingRequest, StreamRecord } from "../../lib/record/records.ts";
import { event, ring, status } from "./records.ts";

/** The lines and warnings of a table. */
function table(records: readonly StreamRecord[], over: Partial<TableSinkOptions> = {}) {
  let text = "";
  const warnings: string[] = [];
  const sink = new TableSink((bytes) => text += new TextDecoder().decode(bytes), {
    columns: undefined,
    color: false,
    warn: (line) => void warnings.push(line),
    ...over,
  });
  for (const record of records) sink.write(record);
  sink.finish();
  return { lines: text.split("\n").slice(0, -1), warnings };
}

function request(opcode: string): RingRequest {
  return { opcode, opcode_number: 0, user_data: "0x0", source: ["sqe"] };
}

Deno.test("TableSink aligns rings under one header", () => {
  const { lines } = table([
    ring({ found_by: ["fd", "tctx"], pending_opcodes: [9, 16] }),
    ring({
      pid: 7,
      comm: "x",
      bypasses_seccomp: true,
      pending: [],
      in_flight: [request("IORING_OP_RECV"), request("IORING_OP_RECV")],
      history: [request("IORING_OP_CONNECT"), { ...request("UNKNOWN"), opcode_number: 77 }, {
        ...request("UNKNOWN"),
        opcode_number: 4294967295,
      }],
      found_by: ["carved"],
    }),
    ring({ pid: 0, comm: "", seccomp: { mode: 2, filters: 1 } }),
  ]);
  assert.deepEqual(lines, [
    " PID  COMM    CTX                 OPS                                    SECCOMP   FOUND_BY  RULES",
    "1234  curing  0xffff880000010000  pending SENDMSG,CONNECT                off       fd,tctx",
    "   7  x       0xffff880000010000  in flight RECVx2; past CONNECT,op77,?  BYPASSED  carved",
    "   -          0xffff880000010000  -                                      filter",
  ]);
});

Deno.test("TableSink shows events with what they are about", () => {
  const { lines } = table([
    event({ opcode: "IORING_OP_CONNECT", op_info: { addr: "::1", port: 443 } }),
    event({
      opcode: "IORING_OP_OPENAT",
      op_info: { path: "/etc/passwd", access_flags: "O_RDONLY" },
    }),
    event({
      opcode: "IORING_OP_RENAMEAT",
      op_info: { old_path: "/a", new_path: "/b" },
      result: { res: -13, errno: "EACCES" },
    }),
    event({ opcode: "IORING_OP_READ", op_info: { fd: 3, len: 10 }, result: { res: 10 } }),
    event({
      opcode: "IORING_OP_SPLICE",
      op_info: { target: { kind: "pipe", path: "pipe:[7]" }, target_in: { path: "/etc/x" } },
    }),
    event({
      opcode: "IORING_OP_SPLICE",
      op_info: { fd_in: 3, target_in: { addr: "192.0.2.1", port: 443 } },
    }),
    event({
      opcode: "IORING_OP_OPENAT",
      op_info: { path: "/tmp/x", target: { kind: "file", path: "/etc/shadow" } },
    }),
    event({ opcode: "IORING_OP_OPENAT", op_info: { path: "/etc/x", target: { path: "/etc/x" } } }),
  ]);
  assert.deepEqual(lines, [
    "TIME          PID  COMM    UID  OPCODE    DETAIL                 RESULT  RULES",
    "12:09:05.984   42  agent  1000  CONNECT   [::1]:443",
    "12:09:05.984   42  agent  1000  OPENAT    /etc/passwd",
    "12:09:05.984   42  agent  1000  RENAMEAT  /a -> /b               EACCES",
    "12:09:05.984   42  agent  1000  READ      fd=3 len=10            10",
    "12:09:05.984   42  agent  1000  SPLICE    /etc/x -> pipe:[7]",
    "12:09:05.984   42  agent  1000  SPLICE    192.0.2.1:443 -> ?",
    "12:09:05.984   42  agent  1000  OPENAT    /tmp/x -> /etc/shadow",
    "12:09:05.984   42  agent  1000  OPENAT    /etc/x",
  ]);
});

Deno.test("TableSink makes text of other processes visible and aligned", () => {
  const { lines } = table([
    ring({ comm: "a\x1b[2J\r\n" }),
    ring({ comm: "漢字" }),
    ring({ comm: "\ufffd", comm_hex: "ff" }),
    ring({ ctx_addr: "\u202e0x1" }),
  ]);
  const text = lines.join(" ");
  assert.doesNotMatch(text, /[\p{Cc}\p{Cf}]/u);
  assert.match(text, /a\\x1b\[2J\\x0d\\x0a/);
  assert.match(text, / \\xff +0x/);
  const column = (line: string) => displayWidth(line.slice(0, line.indexOf("0xffff")));
  assert.equal(column(lines[1]!), column(lines[2]!));
});

Deno.test("TableSink fits the terminal", () => {
  const history = Array.from({ length: 30 }, (_, i) => request(`IORING_OP_LONGNAME${i}`));
  const records = [
    ring({ history, comm: "\x1b".repeat(15), found_by: ["fd", "tctx", "registered", "vma"] }),
    ring({ comm: "漢".repeat(5), history: history.slice(0, 1) }),
  ];
  for (const columns of [20, 40, 80, 120, 1000]) {
    const { lines } = table(records, { columns });
    assert.ok(lines.every((line) => displayWidth(line) <= columns), String(columns));
  }
  assert.match(table(records, { columns: 80 }).lines[1]!, /…/);
  // An address tells by its end.
  assert.match(table(records, { columns: 80 }).lines[1]!, /…00010000/);
});

Deno.test("TableSink leaves columns out where the terminal is too narrow for all", () => {
  const rules = [{ id: "credential-access", title: "", severity: "high" as const, attack: [] }];
  const classification = { suspicious: true, severity: "high" as const, rules };
  const op_info = { path: "/home/someone/.ssh/id_ed25519" };
  const opened = event({ opcode: "IORING_OP_OPENAT", op_info, classification });
  const titles = (columns: number) => table([opened], { columns }).lines[0]!.split(/ +/).join(" ");
  assert.equal(titles(90), "TIME PID COMM UID OPCODE DETAIL RESULT RULES");
  assert.equal(titles(64), "TIME PID COMM OPCODE DETAIL RESULT RULES");
  assert.equal(titles(56), "TIME PID COMM OPCODE DETAIL RULES");
  assert.equal(titles(44), "PID COMM OPCODE DETAIL RULES");
  assert.match(table([opened], { columns: 60 }).lines[1]!, /OPENAT +\/home\/\S+… +credential-/);
  const { lines } = table([ring({ history: [request("IORING_OP_A")], classification })], {
    columns: 56,
  });
  assert.match(lines[0]!, /^ *PID +COMM +CTX +OPS +SECCOMP +RULES$/);
});

Deno.test("TableSink makes room for what only comes later", () => {
  let text = "";
  const sink = new TableSink((bytes) => text += new TextDecoder().decode(bytes), {
    columns: 120,
    color: false,
    warn: () => {},
  });
  const rules = [{ id: "credential-access", title: "", severity: "high" as const, attack: [] }];
  sink.write(event({ opcode: "IORING_OP_NOP", process: { ...event().process, uid: 0 } }));
  sink.flush();
  sink.write(event({
    opcode: "IORING_OP_RENAMEAT",
    op_info: { old_path: "/etc/shadow", new_path: "/etc/shadow-" },
    classification: { suspicious: true, severity: "high", rules },
  }));
  sink.finish();
  assert.deepEqual(text.split("\n").map((line) => line.replace(/^.*agent +/, "")), [
    "TIME          PID  COMM   UID  OPCODE  DETAIL  RESULT  RULES",
    "0  NOP",
    "1000  RENAMEAT  /etc/shadow -> /etc/shadow-          credential-access",
    "",
  ]);
});

Deno.test("TableSink keeps rings and events in their order", () => {
  const { lines } = table([event(), ring(), event()]);
  assert.deepEqual(lines.map((line) => line.trim().split(" ")[0]), [
    "TIME",
    "12:09:05.984",
    "PID",
    "1234",
    "12:09:05.984",
  ]);
});

Deno.test("TableSink names some kinds of requests, and counts the others", () => {
  const names = ["READ", "READ", "A", "B", "C", "D", "E", "F", "G", "G"];
  const history = [
    { ...request("UNKNOWN"), opcode_number: 4294967295 },
    ...names.map((name) => request(`IORING_OP_${name}`)),
  ];
  const ops = (requests: RingRequest[]) => table([ring({ history: requests })]).lines[1]!;
  assert.match(ops(history), / past READx2,A,B,C,D,E,… 4 more /);
  assert.match(ops(history.slice(0, -3)), / past READx2,A,B,C,D,E,\? /);
  assert.match(ops(history.slice(0, 3)), / past READx2,\? /);
});

Deno.test("TableSink colours what is suspicious, and only when told to", () => {
  const records = [
    ring({ bypasses_seccomp: true }),
    ring({ classification: { suspicious: true, severity: "medium", rules: [] } }),
    ring(),
  ];
  const { lines } = table(records, { color: true });
  const styles = lines.map((line) =>
    line.startsWith("\x1b[") ? line.slice(2, line.indexOf("m")) : ""
  );
  assert.deepEqual(styles, ["1", "31", "33", ""]);
  assert.ok(table(records).lines.every((line) => !line.includes("\x1b")));
});

Deno.test("TableSink says diagnostics, losses and an incomplete end", () => {
  const diagnostic = { code: "x", message: "Bad \x1b list", hides: "some rings" };
  const { lines, warnings } = table([
    status({ diagnostics: [diagnostic] }),
    ring({ diagnostics: [{ code: "y", message: "No array", hides: "requests" }] }),
    status({ phase: "lost", lost: { count: 12, reason: "ring buffer full" } }),
    status({ phase: "end", complete: false }),
    { type: "Else" } as unknown as StreamRecord,
  ]);
  assert.equal(lines.length, 2);
  assert.deepEqual(warnings, [
    "warning: Bad \\x1b list (hides some rings)",
    "warning: 12 events lost: ring buffer full",
    "warning: The source could not read everything",
    "warning: Something of 1 ring could not be read, the records' diagnostics say what",
    "warning: 1 record of other types not shown",
  ]);
});

Deno.test("TableSink counts a ring as unread where the source does, not for findings or arguments", () => {
  const diagnostics = [
    { code: "argument_swapped", message: "pending.0.op_info.path is swapped" },
    { code: "process_hidden", message: "process 7 is not on the task list" },
    { code: "found_tomorrow", message: "something new" },
  ];
  assert.deepEqual(table([ring({ diagnostics })]).warnings, []);
  const { lines } = table([ring({ diagnostics })], { detail: true });
  const findings = lines.indexOf("  findings");
  assert.deepEqual(lines.slice(findings, findings + 5), [
    "  findings",
    "    process_hidden: process 7 is not on the task list",
    "    found_tomorrow: something new",
    "  unread",
    "    pending.0.op_info.path is swapped",
  ]);
  const lost = { code: "request_list_broken", message: "defer_list", hides: "requests in flight" };
  const { lines: other } = table([ring({ diagnostics: [lost] })], { detail: true });
  assert.equal(other[other.indexOf("  unread") + 1], "    defer_list");
  assert.equal(other.includes("  findings"), false);
});

Deno.test("TableSink does not let one long cell widen every row where nothing is cut", () => {
  const history = Array.from({ length: 30 }, (_, i) => request(`IORING_OP_LONGNAME${i}`));
  const { lines } = table([ring({ history }), ring()]);
  assert.match(lines[1]!, /LONGNAME5,… 24 more {2}off$/);
  assert.ok(lines[2]!.length < 100);
});

Deno.test("TableSink takes records of any shape", () => {
  const odd = [
    { type: "IOUringEntry" },
    {
      type: "IOUringEntry",
      pid: {},
      comm: 7,
      pending_opcodes: ["x", -1, 1e9, 1.5],
      found_by: "fd",
    },
    { type: "IOUringEntry", pending: [null, 1, { opcode: 3 }], diagnostics: [null], missing: 3 },
    { type: "IOUringEvent" },
    { type: "IOUringEvent", process: [], op_info: { path: 1 }, result: 0, timestamp: 3 },
    { type: "IOUringEvent", process: null, op_info: { addr: {}, port: "x" }, classification: 1 },
    { type: "IOUringStatus", phase: "lost" },
    { type: "IOUringStatus", diagnostics: {} },
  ] as unknown as StreamRecord[];
  assert.equal(table(odd, { columns: 80, color: true }).lines.length, 8);
});
