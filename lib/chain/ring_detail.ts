import { printable, printableField } from "../record/printable.ts";
import { cell, detailCell, opcodeCell, resultCell, seccompCell } from "./cells.ts";
import { arrayOf, type Fields, fieldsOf } from "./fields.ts";
import { count } from "./tally.ts";

const OPCODE_WIDTH = 14;
const RESULT_WIDTH = 12;

/** A ring in full, for people: a block of lines, each printable. */
export function ringDetail(entry: Fields): string[] {
  return [
    headLine(entry),
    ...section("ring", ringWords(entry)),
    ...section("owners", arrayOf(entry.owners).map((owner) => ownerWords(fieldsOf(owner)))),
    ...section("seccomp", seccompWords(entry)),
    ...section("registered", registeredWords(entry)),
    ...section("pending", arrayOf(entry.pending).map(requestWords)),
    ...section("in flight", arrayOf(entry.in_flight).map(requestWords)),
    ...section("past", arrayOf(entry.history).map(requestWords)),
    ...section("findings", findingWords(entry)),
    ...section("unread", unreadWords(entry)),
    "",
  ];
}

/** Whether a diagnostic says that a part of the ring could not be read. */
export function isLoss(diagnostic: unknown): boolean {
  return typeof fieldsOf(diagnostic).hides === "string";
}

/** Whether a diagnostic says that an argument of a request could not be had, and why. */
function isArgument(diagnostic: unknown): boolean {
  return String(fieldsOf(diagnostic).code).startsWith("argument_");
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`  ${title}`, ...lines.map((line) => `    ${line}`)];
}

function headLine(entry: Fields): string {
  const process = fieldsOf(entry.process);
  const name = printableField(entry, "comm");
  if (entry.pid === 0) return `no process  ${cell(entry.ctx_addr)}`;
  const words = [`pid ${cell(entry.pid)}`, name];
  if (process.binary_path !== undefined) {
    words.push(
      `${printableField(process, "binary_path")} ${printableField(process, "args")}`.trim(),
    );
  }
  if (process.uid !== undefined) words.push(`uid ${cell(process.uid)}`);
  return words.join("  ");
}

function ringWords(entry: Fields): string[] {
  const lines = [
    `${cell(entry.ctx_addr)}  ${cell(entry.sq_entries)} submissions, ` +
    `${cell(entry.cq_entries)} completions`,
    `found by ${names(entry.found_by)}` +
    (entry.confidence === undefined ? "" : ` (${cell(entry.confidence)})`),
  ];
  const flags = names(entry.setup_flags).replaceAll("IORING_SETUP_", "");
  if (flags !== "") lines.push(`set up with ${flags}`);
  const made = [
    entry.created_at === undefined ? "" : cell(entry.created_at),
    entry.creator_pid === undefined ? "" : `by process ${cell(entry.creator_pid)}`,
    entry.creator_uid === undefined ? "" : `as uid ${cell(entry.creator_uid)}`,
  ].filter((word) => word !== "");
  if (made.length > 0) lines.push(`made ${made.join(" ")}`);
  const thread = fieldsOf(entry.sq_thread);
  if (thread.tid !== undefined) {
    lines.push(`polled by thread ${cell(thread.tid)} for processes ${names(thread.serves)}`);
  }
  return lines;
}

function ownerWords(owner: Fields): string {
  const fd = typeof owner.fd === "number" && owner.fd >= 0 ? `fd ${owner.fd}` : "no descriptor";
  return `${cell(owner.pid)} ${printableField(owner, "comm")}, ${fd}`;
}

function seccompWords(entry: Fields): string[] {
  const state = seccompCell(entry);
  if (state === "off" || state === "?") return [];
  const { filters, denies, denies_some, bypassed_by } = fieldsOf(entry.seccomp);
  const lines = [typeof filters === "number" ? `${state}, ${count(filters, "filter")}` : state];
  if (names(denies) !== "") lines.push(`denies ${names(denies)}`);
  if (names(denies_some) !== "") lines.push(`denies with some arguments ${names(denies_some)}`);
  const bypasses = names(bypassed_by).replaceAll("IORING_OP_", "");
  if (bypasses !== "") lines.push(`bypassed by ${bypasses}`);
  return lines;
}

function registeredWords(entry: Fields): string[] {
  const lines: string[] = [];
  for (const file of arrayOf(fieldsOf(entry.registered_files).files)) {
    const target = fieldsOf(file);
    lines.push(`file ${cell(target.slot)}  ${detailCell({ op_info: { target } })}`);
  }
  for (const buffer of arrayOf(fieldsOf(entry.registered_buffers).buffers)) {
    const { slot, addr, len } = fieldsOf(buffer);
    lines.push(`buffer ${cell(slot)}  ${cell(len)} bytes at ${cell(addr)}`);
  }
  for (const personality of arrayOf(entry.personalities)) {
    const { id, uid, euid } = fieldsOf(personality);
    lines.push(`personality ${cell(id)}  uid ${cell(uid)}, euid ${cell(euid)}`);
  }
  const { sqe_ops, register_ops } = fieldsOf(entry.restrictions);
  if (sqe_ops !== undefined) lines.push(`restricted to ${names(sqe_ops) || "no opcode"}`);
  if (register_ops !== undefined) {
    lines.push(`restricted to ${names(register_ops) || "no registration"}`);
  }
  if (names(entry.bpf_filters) !== "") lines.push(`filtered by BPF: ${names(entry.bpf_filters)}`);
  return lines;
}

function requestWords(value: unknown): string {
  const request = fieldsOf(value);
  const opcode = opcodeCell({ ...request, io_uring: request }).padEnd(OPCODE_WIDTH);
  const result = resultCell(fieldsOf(request.result));
  const state = request.state === undefined ? "" : cell(request.state);
  const words = [result || state, detailCell(request)];
  return `${opcode}${words[0]!.padEnd(RESULT_WIDTH)}${words[1]}`.trimEnd();
}

function findingWords(entry: Fields): string[] {
  const rules = arrayOf(fieldsOf(entry.classification).rules).map((rule) => {
    const { severity, id, title } = fieldsOf(rule);
    return `${cell(severity).padEnd(9)}${cell(id)}: ${cell(title)}`;
  });
  const remarks = arrayOf(entry.diagnostics)
    .filter((diagnostic) => !isLoss(diagnostic) && !isArgument(diagnostic))
    .map((diagnostic) => {
      const { code, message } = fieldsOf(diagnostic);
      return `${cell(code)}: ${cell(message)}`;
    });
  return [...rules, ...remarks];
}

function unreadWords(entry: Fields): string[] {
  return arrayOf(entry.diagnostics)
    .filter((diagnostic) => isLoss(diagnostic) || isArgument(diagnostic))
    .map((diagnostic) => cell(fieldsOf(diagnostic).message));
}

function names(value: unknown): string {
  return arrayOf(value).map((name) => typeof name === "string" ? printable(name) : cell(name))
    .join(", ");
}
