import type { KernelObject } from "../kernel/program.ts";
import { type RingRequest, UNKNOWN_ID } from "../record/records.ts";
import type { JsonObject } from "../uapi/json_value.ts";
import { type ArgumentReader, type KnownArguments, NO_MEMORY } from "../uapi/argument.ts";
import { withDirectories } from "../uapi/directories.ts";
import { resultOf } from "../uapi/errno.ts";
import { hexText } from "../uapi/numbers.ts";
import { describeRequest } from "../uapi/op_info.ts";
import { OPCODES } from "../uapi/opcodes.ts";
import type { RequestFields } from "../uapi/request_fields.ts";
import { IOSQE_FIXED_FILE, sqeFlagNames } from "../uapi/ring_flags.ts";
import { readable } from "./diagnostics.ts";
import { describeFile, isSocket } from "./file_target.ts";
import { readCompletedRequest, readPreparedRequest } from "./prepared_request.ts";
import type { RingNotes } from "./ring_notes.ts";
import type { JoinedRequest } from "./ring_requests.ts";

const CLOSE = 19;
/** SPLICE and TEE. */
const WITH_INPUT: ReadonlySet<number> = new Set([30, 33]);
const SPLICE_F_FD_IN_FIXED = 1 << 31;

/** Where a request's file is looked up. */
export interface FilePlace {
  readonly fd: number;
  /** `fd` is a slot of the ring's table. */
  readonly fixed: boolean;
}

/** What rendering a ring's requests needs to know beside them. */
export interface RequestSurroundings {
  /** Name of an opcode in this kernel. */
  opcodeName(opcode: number): string;
  /** Memory of the process that a request is of. */
  memoryOf(request: JoinedRequest): ArgumentReader;
  /**
   * The open file that a request's fd names, for the ring's process or its table of fixed files;
   * undefined where that cannot be the one that the request worked on.
   */
  fileOf(request: JoinedRequest, place: FilePlace): KernelObject | undefined;
  /** The ring is a 32-bit process's. */
  readonly compat: boolean;
  readonly notes: RingNotes;
}

/** One request as a record; `path` is where it will stand in the entry: `pending.0`. */
export function requestRecord(
  request: JoinedRequest,
  path: string,
  around: RequestSurroundings,
): RingRequest {
  const { opcode, userData, results } = request;
  const result = results.at(-1);
  const { fields, known } = argumentsOf(request, around);
  const record: RingRequest = {
    opcode: opcode === undefined ? "UNKNOWN" : around.opcodeName(opcode),
    opcode_number: opcode ?? UNKNOWN_ID,
    ...(fields?.fd === undefined ? {} : { fd: fields.fd }),
    user_data: hexText(userData),
    ...opInfo(request, { fields, known, path }, around),
    ...(result === undefined ? {} : { result: resultOf(result) }),
    source: [...request.sources],
  };
  if (request.state !== undefined) record.state = request.state;
  const flags = sqeFlagNames(fields?.flags ?? 0);
  if (flags.length > 0) record.sqe_flags = flags;
  const personality = request.slot?.sqe.personality ?? 0;
  if (personality !== 0) record.personality = personality;
  if (results.length > 1) record.results = [...results];
  if (request.more) record.more = true;
  if (request.byOrder) record.joined_by_order = true;
  return record;
}

interface Arguments {
  readonly fields: RequestFields | undefined;
  readonly known: KnownArguments;
}

/** The kernel's own copy of a request where it still holds, else the SQE, else both in one. */
function argumentsOf(request: JoinedRequest, around: RequestSurroundings): Arguments {
  const { kiocb, slot } = request;
  const compat = around.compat ? { compat: true } : {};
  if (kiocb === undefined) {
    return { fields: slot === undefined ? undefined : { ...slot.sqe, ...compat }, known: {} };
  }
  if (request.state === undefined) {
    const done = readable(() => readCompletedRequest(kiocb));
    return { fields: done && { ...done.fields, ...compat }, known: done?.known ?? {} };
  }
  const prepared = readable(() =>
    readPreparedRequest(kiocb, {
      ...(slot === undefined ? {} : { sqe: slot.sqe }),
      taskWork: request.state === "task_work",
      worker: request.worker,
    })
  );
  if (prepared === undefined) return { fields: slot?.sqe, known: {} };
  const { fields, known } = prepared;
  const held: RequestFields = { ...fields };
  for (const key of Object.keys(held) as (keyof RequestFields)[]) {
    if (held[key] === undefined) delete held[key];
  }
  return { fields: { ...slot?.sqe, ...held, ...compat }, known };
}

function opInfo(
  request: JoinedRequest,
  { fields, known, path }: Arguments & { path: string },
  around: RequestSurroundings,
): { op_info?: JsonObject } {
  if (fields === undefined) return {};
  const file = fileOf(request, fields, around);
  const socket = file && readable(() => isSocket(file));
  const onlyScalars = request.kiocb !== undefined && request.state === undefined;
  const { info, missing, unverified } = describeRequest(
    socket === undefined ? fields : { ...fields, socket },
    onlyScalars ? NO_MEMORY : around.memoryOf(request),
    { known, completed: request.results.length > 0 },
  );
  for (const field of missing) around.notes.miss(`${path}.${field.path}`, field.reason);
  for (const key of unverified) around.notes.unverified.push(`${path}.${key}`);
  const target = file && describeFile(file);
  const input = inputOf(request, fields, around);
  const targetIn = input && describeFile(input);
  const targets = {
    ...(target === undefined ? {} : { target }),
    ...(targetIn === undefined ? {} : { target_in: targetIn }),
  };
  if (info === undefined && Object.keys(targets).length === 0) return {};
  const { info: whole, added } = withDirectories(info ?? {}, (_, fd) => {
    const directory = around.fileOf(request, { fd, fixed: false });
    return directory && describeFile(directory);
  });
  // The descriptors of a finished request may name other files by now.
  if (request.state === undefined && request.results.length > 0) {
    for (const key of [...added, ...Object.keys(targets)]) {
      around.notes.unverified.push(`${path}.op_info.${key}`);
    }
  }
  return { op_info: { ...whole, ...targets } };
}

function fileOf(
  request: JoinedRequest,
  fields: RequestFields,
  around: RequestSurroundings,
): KernelObject | undefined {
  if (OPCODES[fields.opcode]?.worksOnFile !== true) return undefined;
  if (fields.opcode === CLOSE && fields.fileIndex !== undefined && fields.fileIndex !== 0) {
    return around.fileOf(request, { fd: fields.fileIndex - 1, fixed: true });
  }
  const { kiocb } = request;
  if (kiocb !== undefined && request.state !== undefined) {
    const file = readable(() => kiocb.tryDeref("file"));
    if (file !== undefined) return file;
  }
  if (fields.fd === undefined || fields.fd < 0) return undefined;
  const fixed = ((fields.flags ?? 0) & IOSQE_FIXED_FILE) !== 0;
  return around.fileOf(request, { fd: fields.fd, fixed });
}

/** The open file that SPLICE and TEE read. */
function inputOf(
  request: JoinedRequest,
  { opcode, fileIndex: fd, opFlags }: RequestFields,
  around: RequestSurroundings,
): KernelObject | undefined {
  if (!WITH_INPUT.has(opcode) || fd === undefined || opFlags === undefined) return undefined;
  return around.fileOf(request, { fd: fd | 0, fixed: (opFlags & SPLICE_F_FD_IN_FIXED) !== 0 });
}
