import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { PreparedCommands } from "../../lib/capture/prepared_commands.ts";
import { Btf } from "../../lib/kernel/btf.ts";
import { emptyBtf } from "../live/btf_bytes.ts";
import { Decoder } from "../../lib/capture/decoder.ts";
import type { RecordBatch } from "../../lib/chain/chain.ts";
import { ndjsonLine } from "../../lib/record/ndjson.ts";
import { addProcess, addRequest, addRing, layoutText, WireBuilder } from "./wire_bytes.ts";

// deno-lint-ignore no-explicit-any
type AnyRecord = any;

const layout = layoutText();
const SECOND = 1_000_000_000n;
/** Boot was at the start of 2026. */
const CLOCKS = { boot: 0n, real: 1_767_225_600n * SECOND };

function unit(name: string, fn: () => void): void {
  const ignore = layout === undefined;
  Deno.test({ name: ignore ? `${name} (skipped: the shim is not built)` : name, ignore, fn });
}

/** Of a kernel that has none of their structs. */
const NO_COMMANDS = new PreparedCommands(new Btf(emptyBtf()));

function builder(): WireBuilder {
  return new WireBuilder(layout!);
}

function decoder(options: { results?: boolean } = {}): Decoder {
  return new Decoder({
    layout: layout!,
    commands: NO_COMMANDS,
    clocks: CLOCKS,
    results: options.results ?? false,
  });
}

function decodeAll(decoder: Decoder, wire: WireBuilder): AnyRecord[] {
  const batch = wire.batch();
  const found: AnyRecord[] = [];
  for (const records of decoder.decode(batch, batch.length)) {
    checkLines(records);
    found.push(...records);
  }
  return found;
}

/** What is written must be what the chain judged. */
function checkLines(records: RecordBatch): void {
  deepStrictEqual(linesOf(records), records.map((record) => ndjsonLine(record)));
}

function linesOf({ lines }: RecordBatch): string[] {
  const { bytes, ends } = lines!;
  equal(ends.at(-1) ?? 0, bytes.length);
  return ends.map((end, i) => {
    equal(bytes[end - 1], 10);
    return new TextDecoder().decode(bytes.subarray(ends[i - 1] ?? 0, end - 1));
  });
}

unit("Decoder joins a request with its process", () => {
  const wire = builder();
  const [event] = decodeAll(decoder(), addRequest(addProcess(wire)));
  deepStrictEqual(event, {
    type: "IOUringEvent",
    process: {
      start_time: "2026-01-01T00:00:05.000Z",
      pid: 100,
      tid: 101,
      ppid: 50,
      uid: 1000,
      euid: 0,
      auid: 1000,
      cap_inheritable: "",
      cap_permitted: "",
      cap_effective: "",
      secureexec: "",
      filename: "agent",
      binary_path: "/usr/bin/agent",
      args: "-x two words",
      container_id: "a1".repeat(32),
      gid: 0,
      egid: 0,
      comm: "agent",
      cgroup: `/docker/${"a1".repeat(32)}`,
      exec_id: "100:5000000000:3",
      cwd: "/",
    },
    opcode: "IORING_OP_NOP",
    timestamp: "2026-01-01T00:00:10.000Z",
    io_uring: {
      opcode_number: 0,
      ctx: "0xffff888100c4a000",
      user_data: "0xdead",
      fd: -1,
      fixed_file: false,
      sqe_flags: [],
      sq_thread: false,
      cpu: 1,
      seq: 1,
    },
    seccomp: { mode: 0, filters: 0 },
    unverified: ["process.args"],
  });
});

unit("Decoder says that a process's description was lost", () => {
  const [event] = decodeAll(decoder(), addRequest(builder()));
  equal(event.process.partial, true);
  equal(event.process.pid, 100);
  equal(event.process.uid, 4294967295);
  ok(event.missing.includes("process.binary_path"));
});

unit("Decoder lists what could not be read of a process", () => {
  const wire = builder();
  const [event] = decodeAll(decoder(), addRequest(addProcess(wire, { valid: 0 })));
  equal(event.process.start_time, "");
  equal(event.process.auid, 4294967295);
  equal(event.process.cap_effective, "");
  deepStrictEqual(event.missing.slice(0, 3), [
    "process.start_time",
    "process.ppid",
    "process.uid",
  ]);
});

unit("Decoder keeps an event whose arguments faulted", () => {
  const wire = builder();
  addProcess(wire);
  addRequest(wire, { opcode: 36 }, {}, [
    { kind: "FAULT", extra: wire.value("SECTION_PATH"), bytes: "" },
  ]);
  const [event] = decodeAll(decoder(), wire);
  equal(event.opcode, "IORING_OP_UNLINKAT");
  equal(event.op_info.path, "");
  ok(event.missing.includes("op_info.path"));
});

unit("Decoder gives an opcode without a name by its number", () => {
  const wire = builder();
  const sqe = new Uint8Array(64);
  sqe[0] = 200;
  addRequest(addProcess(wire), { opcode: 200, bits: wire.value("BIT_REJECTED") }, {}, [
    { kind: "SQE", bytes: sqe },
    { kind: "RESULT", bytes: new Uint8Array(Int32Array.of(-22).buffer) },
  ]);
  const [event] = decodeAll(decoder(), wire);
  equal(event.opcode, "UNKNOWN");
  equal(event.io_uring.opcode_number, 200);
  equal(event.io_uring.rejected, true);
  deepStrictEqual(event.result, { res: -22, errno: "EINVAL" });
});

unit("Decoder escapes what an attacker names", () => {
  const wire = builder();
  addRequest(addProcess(wire, { comm: "\x1b[31m\u2028" }), { opcode: 36 }, {}, [
    { kind: "PATH", bytes: Uint8Array.of(0x2f, 0xff, 0x1b, 0x0a) },
  ]);
  const batch = wire.batch();
  const [records] = decoder().decode(batch, batch.length);
  checkLines(records!);
  const [line] = linesOf(records!) as [string];
  ok([...line].every((character) => character >= " " && character !== "\u2028"));
  equal((records![0] as AnyRecord).op_info.path_hex, "2fff1b0a");
});

unit("Decoder gives many records in batches, each request once and in its order", () => {
  const wire = builder();
  addProcess(wire);
  for (let seq = 1; seq <= 1000; seq++) {
    // What lines have in common stays for a while, and changes in every combination.
    const part = (bit: number) => seq >> 2 + bit & 1;
    addRequest(
      wire,
      {
        opcode: part(0),
        cpu: seq % 2,
        time: 10n * SECOND + BigInt(part(1)) * SECOND,
        ring: 0xffff888100c4a000n + BigInt(part(2)),
        bits: part(3),
        seccomp_mode: part(4),
      },
      {
        user_data: 2n ** 32n * BigInt(seq % 3) + BigInt(seq),
        seq,
        fd: part(5) * (500 - seq),
        flags: part(6),
        tid: 101 + part(7),
      },
    );
  }
  const batch = wire.batch();
  const seen: number[] = [];
  let batches = 0;
  for (const records of decoder().decode(batch, batch.length)) {
    checkLines(records);
    batches++;
    seen.push(...records.map((record: AnyRecord) => record.io_uring.seq));
  }
  ok(batches > 1);
  deepStrictEqual(seen, Array.from({ length: 1000 }, (_, i) => i + 1));
});

unit("Decoder lets an event wait for its result, and no longer than it must", () => {
  const wire = builder();
  const slow = decoder({ results: true });
  const waiting = addRequest(addProcess(wire));
  equal(decodeAll(slow, waiting).length, 0);
  wire.add("result_record", {
    kind: wire.value("RECORD_RESULT"),
    time: 10n * SECOND + 1200n,
    ring: 0xffff888100c4a000n,
  }, { user_data: 0xdeadn, request: 0xffff888100001000n, res: -13 });
  const [event] = decodeAll(slow, wire);
  deepStrictEqual(event.result, { res: -13, errno: "EACCES", latency_ns: 1200 });
  addRequest(wire, {}, { seq: 2 });
  equal(decodeAll(slow, wire).length, 0);
  equal(slow.expire(10n * SECOND + SECOND / 2n).length, 0);
  const expired = slow.expire(12n * SECOND);
  checkLines(expired);
  equal(expired.length, 1);
  equal((expired[0] as AnyRecord).result, undefined);
});

unit("Decoder never guesses which request a result is for", () => {
  const wire = builder();
  const joined = decoder({ results: true });
  addProcess(wire);
  addRequest(wire, {}, { request: 0x1000n });
  addRequest(wire, {}, { request: 0x2000n, seq: 2 });
  // Two requests with the same user_data, and a completion that names none.
  wire.add("result_record", {
    kind: wire.value("RECORD_RESULT"),
    ring: 0xffff888100c4a000n,
  }, { user_data: 0xdeadn, request: 0n, res: 1 });
  equal(decodeAll(joined, wire).length, 0);
  equal(joined.totals.unresolved, 1);
});

unit("Decoder takes no message of another ring for a result", () => {
  const wire = builder();
  const joined = decoder({ results: true });
  const request = 0x1000n;
  const posted = wire.value("BIT_POSTED");
  const result = (bits: number, members: Record<string, number | bigint>) =>
    wire.add("result_record", {
      kind: wire.value("RECORD_RESULT"),
      ring: 0xffff888100c4a000n,
      bits,
    }, { user_data: 0xdeadn, request: 0n, ...members });
  const more = 1 << 1;
  // A READ completes once.
  addRequest(addProcess(wire), { opcode: 22 }, { request });
  result(posted, { res: 77 });
  result(posted, { res: 78, cqe_flags: more });
  equal(decodeAll(joined, wire).length, 0);
  equal(joined.totals.unresolved, 2);
  result(0, { res: 3, request });
  equal(decodeAll(joined, wire)[0].result.res, 3);
  // A RECV may complete more than once.
  addRequest(wire, { opcode: 27 }, { request, seq: 2 });
  result(posted, { res: 4, cqe_flags: more });
  equal(decodeAll(joined, wire)[0].result.res, 4);
  // Where the kernel does not tell, a name is all there is.
  addRequest(wire, { opcode: 22 }, { request, seq: 3 });
  result(0, { res: 5 });
  equal(decodeAll(joined, wire)[0].result.res, 5);
});

unit("Decoder bounds what waits", () => {
  const joined = decoder({ results: true });
  const wire = builder();
  addProcess(wire);
  let emitted = 0;
  for (let i = 0; i < 70_000; i++) {
    addRequest(wire, {}, { request: BigInt(i + 1) << 8n, seq: i + 1 });
    if (i % 10_000 === 9_999) emitted += decodeAll(joined, wire).length;
  }
  equal(emitted, 70_000 - 65_536);
});

unit("Decoder hides its own canary", () => {
  const own = decoder();
  own.expectCanary(0xdeadn);
  const wire = builder();
  equal(decodeAll(own, addRequest(addProcess(wire))).length, 0);
  equal(own.sawCanary(0xdeadn), true);
  equal(own.totals.events, 0);
});

unit("Decoder never throws on damaged records, and counts them", () => {
  const wire = builder();
  const whole = addRequest(addProcess(wire), { opcode: 18 }, {}, [
    { kind: "PATH", bytes: "/etc/shadow" },
  ]).batch();
  let state = 1;
  for (let round = 0; round < 2000; round++) {
    const bytes = whole.slice();
    for (let i = 0; i < 8; i++) {
      state = Math.imul(state, 1103515245) + 12345 >>> 0;
      bytes[state % bytes.length] = state >>> 24;
    }
    const damaged = decoder({ results: round % 2 === 0 });
    for (const length of [bytes.length, round % bytes.length]) {
      for (const records of damaged.decode(bytes, length)) checkLines(records);
    }
    checkLines(damaged.expire(0n, true));
  }
});

unit("Decoder tells open files and sockets by what they are", () => {
  const wire = builder();
  addProcess(wire);
  wire.add("file_record", { kind: wire.value("RECORD_FILE") }, {
    file: 7n,
    mode: 0o100644,
    deleted: 1,
  }, [{ kind: "FILE_PATH", bytes: "passwd\0etc\0" }]);
  const name = new Uint8Array(BigUint64Array.of(7n).buffer);
  addRequest(wire, { opcode: 22 }, { fd: 3 }, [{ kind: "FILE", bytes: name }]);
  const socket = new Uint8Array(48);
  const view = new DataView(socket.buffer);
  view.setUint16(0, 10, true);
  view.setUint16(6, 443, true);
  socket[39] = 1;
  addRequest(wire, { opcode: 23 }, { fd: 4, flags: 1 }, [
    { kind: "SOCKET", extra: 1, bytes: socket },
  ]);
  const [file, peer] = decodeAll(decoder(), wire);
  deepStrictEqual(file.op_info.target, { kind: "file", path: "/etc/passwd", deleted: true });
  equal(peer.op_info.target.kind, "socket");
  equal(peer.op_info.target.family, "AF_INET6");
  equal(peer.op_info.target.port, 443);
  ok(peer.unverified.includes("op_info.target"));
});

unit("Decoder tells what SPLICE reads beside what it writes", () => {
  const wire = builder();
  addProcess(wire);
  wire.add("file_record", { kind: wire.value("RECORD_FILE") }, { file: 7n, mode: 0o100600 }, [
    { kind: "FILE_PATH", bytes: "shadow\0etc\0" },
  ]);
  const name = new Uint8Array(BigUint64Array.of(7n).buffer);
  const socket = new Uint8Array(48);
  new DataView(socket.buffer).setUint16(0, 2, true);
  const peer = new Uint8Array([110, 0, ...new TextEncoder().encode("\0x")]);
  peer.set([1, 0]);
  const unix = socket.slice();
  unix[0] = 1;
  addRequest(wire, { opcode: 30 }, { fd: 4 }, [
    { kind: "INPUT", bytes: name },
    { kind: "SOCKET", bytes: socket },
  ]);
  addRequest(wire, { opcode: 30 }, { fd: 4 }, [
    { kind: "INPUT_SOCKET", extra: 1, bytes: unix },
    { kind: "UNIX_PEER", bytes: peer },
    { kind: "FILE", bytes: name },
  ]);
  addRequest(wire, { opcode: 30 }, { fd: 4, flags: 1 << 2 }, [{ kind: "INPUT", bytes: name }]);
  const [sent, received, linked] = decodeAll(decoder(), wire);
  deepStrictEqual(sent.op_info.target_in, { kind: "file", path: "/etc/shadow" });
  equal(sent.op_info.target.kind, "socket");
  ok(!sent.unverified.includes("op_info.target_in"));
  deepStrictEqual(received.op_info.target_in, { kind: "socket", family: "AF_UNIX", path: "@x" });
  deepStrictEqual(received.op_info.target, { kind: "file", path: "/etc/shadow" });
  ok(received.unverified.includes("op_info.target_in"));
  ok(!received.unverified.includes("op_info.target"));
  equal(linked.op_info.target, undefined);
  ok(linked.unverified.includes("op_info.target_in"));
});

unit("Decoder tells with the result which file was opened", () => {
  const wire = builder();
  addProcess(wire);
  wire.add("file_record", { kind: wire.value("RECORD_FILE") }, { file: 7n, mode: 0o100600 }, [
    { kind: "FILE_PATH", bytes: "shadow\0etc\0" },
  ]);
  addRequest(wire, { opcode: 18 }, { fd: -100 }, [{ kind: "PATH", bytes: "/tmp/x" }]);
  addRequest(wire, { opcode: 22 }, { fd: 3, user_data: 2n, request: 9n });
  const name = new Uint8Array(BigUint64Array.of(7n).buffer);
  const head = { kind: wire.value("RECORD_RESULT"), ring: 0xffff888100c4a000n };
  wire.add("result_record", head, { user_data: 0xdeadn, request: 0xffff888100001000n, res: 3 }, [
    { kind: "FILE", bytes: name },
  ]);
  wire.add("result_record", head, { user_data: 2n, request: 9n, res: 1 });
  const [opened, read] = decodeAll(decoder({ results: true }), wire);
  deepStrictEqual(opened.op_info.target, { kind: "file", path: "/etc/shadow" });
  equal(opened.result.res, 3);
  ok(opened.unverified.includes("op_info.target"));
  ok(!read.unverified.includes("op_info.target"));
});

unit("Decoder says which directories relative paths begin at", () => {
  const wire = builder();
  addProcess(wire);
  for (const [file, bytes] of [[7n, "etc\0"], [8n, "b\0a\0"]] as const) {
    wire.add("file_record", { kind: wire.value("RECORD_FILE") }, { file, mode: 0o40755 }, [
      { kind: "FILE_PATH", bytes },
    ]);
  }
  const below = (file: bigint, extra = 0) => ({
    kind: "DIRECTORY",
    extra,
    bytes: new Uint8Array(BigUint64Array.of(file).buffer),
  });
  const path = (bytes: string, kind = "PATH") => ({ kind, bytes });
  addRequest(wire, { opcode: 36 }, { fd: 5 }, [below(7n), path("shadow")]);
  addRequest(wire, { opcode: 36 }, { fd: 5, flags: 1 << 2 }, [below(7n), path("shadow")]);
  addRequest(wire, { opcode: 36 }, { fd: 5 }, [below(7n), path("/shadow")]);
  // One whose description was lost.
  addRequest(wire, { opcode: 36 }, { fd: 5 }, [below(9n), path("shadow")]);
  addRequest(wire, { opcode: 38 }, { fd: 6 }, [
    below(8n, 1),
    path("target"),
    path("link", "PATH2"),
  ]);
  const entry = openatEntry();
  entry[0] = 35;
  new DataView(entry.buffer).setInt32(4, 5, true);
  new DataView(entry.buffer).setInt32(24, 6, true);
  const bits = wire.value("BIT_NO_REQUEST") | wire.value("BIT_NO_FD");
  addRequest(wire, { opcode: 35, bits }, { request: 0 }, [
    { kind: "SQE", bytes: entry },
    below(7n),
    below(8n, 1),
    path("old"),
    path("new", "PATH2"),
  ]);
  // An open file that is linked, and a path through another descriptor than the one that is told.
  addRequest(wire, { opcode: 39 }, {}, [
    below(7n),
    path("/proc/self/fd/9"),
    path("new", "PATH2"),
  ]);
  addRequest(wire, { opcode: 36 }, { fd: 5 }, [below(7n), path("/proc/self/fd/9")]);
  addRequest(wire, { opcode: 36 }, { fd: 9 }, [below(7n), path("/proc/self/fd/9")]);
  const [removed, linked, absolute, lost, symlink, renamed, ...through] = decodeAll(
    decoder(),
    wire,
  );
  deepStrictEqual(
    through.map(({ op_info }) => op_info.old_dfd_path ?? op_info.dfd_path),
    ["/etc", undefined, "/etc"],
  );
  deepStrictEqual(removed.op_info, { path: "shadow", dfd: 5, dfd_path: "/etc" });
  ok(!removed.unverified.includes("op_info.dfd_path"));
  ok(linked.unverified.includes("op_info.dfd_path"));
  equal(absolute.op_info.dfd_path, undefined);
  equal(lost.op_info.dfd_path, undefined);
  equal(symlink.op_info.new_dfd_path, "/a/b");
  equal(symlink.op_info.dfd_path, undefined);
  equal(renamed.op_info.old_dfd_path, "/etc");
  equal(renamed.op_info.new_dfd_path, "/a/b");
});

unit("Decoder gives out a new ring before the first request on it", () => {
  const wire = builder();
  const created = { found_by: wire.value("FOUND_BY_CREATE"), fd: 4 };
  const records = decodeAll(
    decoder(),
    addRequest(addRing(addRequest(addProcess(wire), { ring: 0x1000n }), {}, created)),
  );
  deepStrictEqual(records.map(({ type }) => type), [
    "IOUringEvent",
    "IOUringEntry",
    "IOUringEvent",
  ]);
  deepStrictEqual(records[1].found_by, ["create"]);
  equal(records[1].ctx_addr, records[2].io_uring.ctx);
});

unit("Decoder gathers what is said of a ring that was there before, until all is said", () => {
  const wire = builder();
  const decoding = decoder();
  decoding.listedAt(20n * SECOND);
  const at = (seconds: bigint) => ({ time: seconds * SECOND });
  const by = (name: string) => ({ found_by: wire.value(`FOUND_BY_${name}`) });
  addProcess(wire);
  addRing(wire, at(11n), { ...by("FD"), fd: 4 });
  addRing(wire, at(12n), { ...by("TCTX"), fd: -1 });
  // One that is made meanwhile is not given out twice.
  addRing(wire, { ...at(13n), ring: 0x2000n }, { ...by("CREATE"), fd: 5 });
  addRing(wire, { ...at(14n), ring: 0x2000n }, { ...by("FD"), fd: 5 });
  addRequest(wire, at(15n));
  addRequest(wire, at(21n));
  const records = decodeAll(decoding, wire);
  deepStrictEqual(records.map(({ type, found_by }) => found_by ?? type), [
    ["create"],
    "IOUringEvent",
    ["fd", "tctx"],
    "IOUringEvent",
  ]);
  deepStrictEqual([...decoding.listedRings()], []);
});

/** A ring's entry of an OPENAT, as `struct io_uring_sqe` has it. */
function openatEntry(): Uint8Array {
  const entry = new Uint8Array(64);
  const view = new DataView(entry.buffer);
  view.setUint8(0, 18);
  view.setUint8(1, 1 << 4);
  view.setInt32(4, -100, true);
  view.setBigUint64(16, 0x7f00n, true);
  view.setUint32(24, 0o644, true);
  view.setUint32(28, 0o101, true);
  view.setBigUint64(32, 0xdeadn, true);
  view.setUint16(42, 3, true);
  return entry;
}

unit("Decoder tells a request by its entry where the kernel does not pass it", () => {
  const wire = builder();
  const bits = wire.value("BIT_NO_REQUEST") | wire.value("BIT_NO_FD");
  addProcess(wire);
  addRequest(wire, { opcode: 18, bits }, { request: 0 }, [
    { kind: "SQE", bytes: openatEntry() },
    { kind: "PATH", extra: 1, bytes: "/etc/shadow" },
  ]);
  // The entry was used for something else by then.
  addRequest(wire, { opcode: 18, bits }, { request: 0, seq: 2 });
  const [event, bare] = decodeAll(decoder(), wire);
  deepStrictEqual(event.op_info, {
    path: "/etc/shadow",
    access_flags: "O_WRONLY",
    creation_flags: "O_CREAT | O_LARGEFILE",
    dfd: "AT_FDCWD",
    mode: "0644",
  });
  equal(event.io_uring.fd, -100);
  equal(event.io_uring.personality, 3);
  equal(event.io_uring.rejected, undefined);
  deepStrictEqual(event.io_uring.sqe_flags, ["IOSQE_ASYNC"]);
  deepStrictEqual(event.unverified, [
    "process.args",
    "io_uring.fd",
    "io_uring.sqe_flags",
    "io_uring.personality",
    "op_info.path",
    "op_info.access_flags",
    "op_info.creation_flags",
    "op_info.dfd",
    "op_info.mode",
  ]);
  equal(event.missing, undefined);
  equal(bare.io_uring.fd, undefined);
  deepStrictEqual(bare.missing, ["op_info", "io_uring.fd", "io_uring.sqe_flags"]);
});

unit("Decoder joins results by user_data where the kernel names no request", () => {
  const wire = builder();
  const joined = decoder({ results: true });
  addProcess(wire);
  const bits = wire.value("BIT_NO_REQUEST") | wire.value("BIT_NO_FD");
  for (const user_data of [1n, 2n, 3n]) addRequest(wire, { bits }, { request: 0, user_data });
  for (const user_data of [2n, 1n]) {
    wire.add("result_record", {
      kind: wire.value("RECORD_RESULT"),
      ring: 0xffff888100c4a000n,
    }, { user_data, request: 0n, res: Number(user_data) });
  }
  const told = [...decodeAll(joined, wire), ...joined.expire(0n, true)] as AnyRecord[];
  deepStrictEqual(
    told.map(({ io_uring, result }) => [io_uring.user_data, result?.res]),
    [["0x2", 2], ["0x1", 1], ["0x3", undefined]],
  );
  equal(joined.totals.unresolved, 0);
});

unit("Decoder says that the number of seccomp filters is not known", () => {
  const wire = builder();
  const [event] = decodeAll(decoder(), addRequest(addProcess(wire), { seccomp_mode: 2 }));
  deepStrictEqual(event.missing, ["seccomp.filters"]);
});
