import { equal } from "node:assert/strict";
import { EventWriter } from "../../lib/capture/event_line.ts";
import { LineWriter, piece } from "../../lib/capture/line_writer.ts";
import { ndjsonLine } from "../../lib/record/ndjson.ts";
import type { IOUringEvent } from "../../lib/record/records.ts";
import type { JsonObject } from "../../lib/uapi/json_value.ts";

Deno.test("EventWriter writes op_info as ndjsonLine() does, the second time too", () => {
  const target = { kind: "file", path: '/a "b"\n\u202e\u0085' };
  const infos: JsonObject[] = [
    {},
    { fd: 3, offset: 0, len: 4096, target },
    { fd: -100, offset: 2 ** 53 - 1, len: 4_294_967_295, target },
    { zero: -0, half: 0.5, none: null, yes: true, list: [1, "x"], "odd \u007f": "\ud800" },
    { path: "x".repeat(5000), hex: "0xffff888100c4a000", euro: "€" },
  ];
  const out = new LineWriter();
  const writer = new EventWriter(out);
  for (const op_info of [...infos, ...infos]) {
    const process = {} as IOUringEvent["process"];
    const io_uring = {
      opcode_number: 22,
      ctx: "0x1" as const,
      user_data: "0x0" as const,
      fd: 3,
      fixed_file: false,
      sqe_flags: [],
      sq_thread: false,
      cpu: 0,
      seq: 1,
    };
    const record: IOUringEvent = {
      type: "IOUringEvent",
      process,
      opcode: "IORING_OP_READ",
      op_info,
      timestamp: "2026-01-01T00:00:10.000Z",
      io_uring,
      seccomp: { mode: 0, filters: 0 },
    };
    const thread = {
      process,
      json: piece("{}"),
      missing: undefined,
      unverified: undefined,
      notes: piece(""),
    };
    writer.write({ record, thread, flags: 0, userDataLow: 0, userDataHigh: 0 });
    const { bytes } = out.take();
    equal(new TextDecoder().decode(bytes), `${ndjsonLine(record)}\n`);
  }
});
