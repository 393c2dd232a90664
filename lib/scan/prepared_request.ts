import type { KernelObject } from "../kernel/program.ts";
import type { KnownArguments } from "../uapi/argument.ts";
import type { RequestFields } from "../uapi/request_fields.ts";
import { readCommand } from "./read_command.ts";
import { CommandReader, type RequestContext } from "./command_reader.ts";

const IOSQE_IO_DRAIN = 1 << 1;
const IOSQE_ASYNC = 1 << 4;

/** A request that the kernel has prepared and not completed. */
export interface PreparedRequest {
  /** What it holds of the SQE. What it does not keep is left out. */
  readonly fields: RequestFields;
  /** Its own copies of what the SQE points to. */
  readonly known: KnownArguments;
}

/** A request that has completed and whose memory has not been used again. */
export interface CompletedRequest extends PreparedRequest {
  readonly opcode: number;
  readonly userData: bigint;
  /** What it completed with: signed, an errno below 0; undefined where it is not kept. */
  readonly result: number | undefined;
  /** `IOSQE_*` bits. */
  readonly flags: number;
}

/** The opcode of a `struct io_kiocb`. */
export function opcodeOf(kiocb: KernelObject): number {
  return kiocb.number("opcode");
}

/** The cookie of a `struct io_kiocb`; in its `cqe` since Linux 5.19 (cef216fc32d7). */
export function userDataOf(kiocb: KernelObject): bigint {
  const value = kiocb.bigint(kiocb.has("cqe.user_data") ? "cqe.user_data" : "user_data");
  return BigInt.asUintN(64, value);
}

/**
 * The result of a completed `struct io_kiocb`; in its `cqe` since Linux 5.19 (cef216fc32d7). Before,
 * a request kept it only where its completion waited to be posted with others, and said so; else
 * what stands there is older. Undefined where it is not kept.
 */
export function resultOfCompleted(kiocb: KernelObject): number | undefined {
  if (kiocb.has("cqe.res")) return Number(BigInt.asIntN(32, kiocb.bigint("cqe.res")));
  if (!new CommandReader(kiocb, { inFlight: false }).hasFlag("COMPLETE_INLINE")) return undefined;
  return Number(BigInt.asIntN(32, kiocb.bigint("result")));
}

/**
 * What a prepared `struct io_kiocb` that has not completed holds of its SQE. User pointers go into
 * the slots, for the owner's memory to be read through; what the kernel has copied is in `known`.
 *
 * @throws {MemoryFault} when the request itself cannot be read.
 * @throws {AbsentError} when it is laid out in no known way.
 */
export function readPreparedRequest(
  kiocb: KernelObject,
  context: RequestContext = {},
): PreparedRequest {
  const reader = new CommandReader(kiocb, { inFlight: true, context });
  readCommand(reader);
  return { fields: reader.fields(submittedFlags(reader)), known: reader.known() };
}

/**
 * What is left of a completed `struct io_kiocb` that waits to be used again. Of its command only
 * values remain that the kernel does not change while it works; no pointer, since what it led to
 * is freed, or another's by now.
 *
 * @throws {MemoryFault} when the request itself cannot be read.
 * @throws {AbsentError} when it is laid out in no known way.
 */
export function readCompletedRequest(kiocb: KernelObject): CompletedRequest {
  const reader = new CommandReader(kiocb, { inFlight: false });
  // Until Linux 5.15 a completion overwrites the command; d17e56eb4907 ended that.
  if (!kiocb.has("compl")) readCommand(reader);
  const flags = submittedFlags(reader);
  return {
    opcode: reader.opcode,
    userData: userDataOf(kiocb),
    result: resultOfCompleted(kiocb),
    flags,
    fields: reader.fields(flags),
    known: reader.known(),
  };
}

/**
 * The `IOSQE_*` bits: the lowest of `io_kiocb.flags`. IOSQE_CQE_SKIP_SUCCESS is one since Linux
 * 5.17 (04c76b41ca97), before, the bit meant something else; the kernel sets it when the CQE has
 * been posted. It sets IOSQE_ASYNC and IOSQE_IO_DRAIN on its own account too, and only the SQE can
 * tell.
 */
function submittedFlags(reader: CommandReader): number {
  const mask = reader.inFlight && reader.knowsFlag("CQE_SKIP") ? 0x7fn : 0x3fn;
  const flags = Number(reader.flags & mask);
  const asked = reader.sqe?.flags;
  if (asked === undefined) return flags;
  const added = flags ^ asked;
  const byKernel = (added & ~(IOSQE_ASYNC | IOSQE_IO_DRAIN)) === 0 && (asked & ~flags) === 0;
  return byKernel ? asked : flags;
}
