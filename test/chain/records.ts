import type { IOUringEntry, IOUringEvent, IOUringStatus } from "../../lib/record/records.ts";

/** A ring with the least that one has. */
export function ring(over: Partial<IOUringEntry> = {}): IOUringEntry {
  return {
    type: "IOUringEntry",
    pid: 1234,
    comm: "curing",
    ctx_addr: "0xffff880000010000",
    sq_entries: 128,
    cq_entries: 256,
    pending_opcodes: [],
    bypasses_seccomp: false,
    seccomp_active: false,
    ...over,
  };
}

/** An event with what a table shows. */
export function event(over: Partial<IOUringEvent> = {}): IOUringEvent {
  return {
    type: "IOUringEvent",
    process: {
      start_time: "",
      pid: 42,
      tid: 42,
      ppid: 1,
      uid: 1000,
      euid: 1000,
      auid: 1000,
      cap_inheritable: "",
      cap_permitted: "",
      cap_effective: "",
      secureexec: "",
      filename: "agent",
      binary_path: "/tmp/agent",
      args: "",
      container_id: "",
    },
    opcode: "IORING_OP_NOP",
    timestamp: "2025-08-04T12:09:05.984Z",
    ...over,
  };
}

export function status(over: Partial<IOUringStatus> = {}): IOUringStatus {
  return { type: "IOUringStatus", phase: "start", timestamp: "2025-08-04T12:09:05.984Z", ...over };
}
