import { ndjsonLine } from "../record/ndjson.ts";
import type { IOUringEvent, IOUringResult } from "../record/records.ts";

/**
 * A record of a request as one line of NDJSON: the same text as {@linkcode ndjsonLine} makes of it,
 * at a fraction of the cost, since most of it is the process block, which is text already.
 *
 * @param record The record.
 * @param process Its process block as JSON.
 */
export function eventLine(record: IOUringEvent | IOUringResult, process: string): string {
  let line = `{"type":"${record.type}","process":${process},"opcode":"${record.opcode}"`;
  if (record.op_info !== undefined) line += `,"op_info":${ndjsonLine(record.op_info)}`;
  line += `,"timestamp":"${record.timestamp}"`;
  const { io_uring: uring, seccomp, result } = record;
  if (uring !== undefined) {
    line += `,"io_uring":{"opcode_number":${uring.opcode_number},"ctx":"${uring.ctx}"` +
      `,"user_data":"${uring.user_data}"`;
    if (uring.fd !== undefined) line += `,"fd":${uring.fd}`;
    line += `,"fixed_file":${uring.fixed_file},"sqe_flags":`;
    line += uring.sqe_flags.length === 0 ? "[]" : JSON.stringify(uring.sqe_flags);
    line += `,"sq_thread":${uring.sq_thread}`;
    if (uring.personality !== undefined) line += `,"personality":${uring.personality}`;
    if (uring.cred !== undefined) {
      line += `,"cred":{"uid":${uring.cred.uid},"euid":${uring.cred.euid}}`;
    }
    if (uring.rejected !== undefined) line += `,"rejected":${uring.rejected}`;
    line += `,"cpu":${uring.cpu},"seq":${uring.seq}`;
    if (uring.recovered !== undefined) line += `,"recovered":${uring.recovered}`;
    line += "}";
  }
  if (seccomp !== undefined) {
    line += `,"seccomp":{"mode":${seccomp.mode},"filters":${seccomp.filters}}`;
  }
  if (result !== undefined) {
    line += `,"result":{"res":${result.res}`;
    if (result.errno !== undefined) line += `,"errno":"${result.errno}"`;
    if (result.latency_ns !== undefined) line += `,"latency_ns":${result.latency_ns}`;
    line += "}";
  }
  if (record.type === "IOUringResult" && record.more !== undefined) {
    line += `,"more":${record.more}`;
  }
  if (record.missing !== undefined) line += `,"missing":${JSON.stringify(record.missing)}`;
  if (record.unverified !== undefined) {
    line += `,"unverified":${JSON.stringify(record.unverified)}`;
  }
  return line + "}";
}
