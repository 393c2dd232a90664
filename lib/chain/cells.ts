import { printable, printableField } from "../record/printable.ts";
import { UNKNOWN_ID } from "../record/records.ts";
import { descriptorInPath, DIRECTORY_OF_PATH } from "../uapi/directories.ts";
import { opcodeName } from "../uapi/opcodes.ts";
import { arrayOf, type Fields, fieldsOf } from "./fields.ts";

/**
 * Cells of a table. A record may have been read from a stream that anyone wrote, so nothing here
 * relies on the type of a value.
 */

/** A number or text as a cell; `?` for anything else. */
export function cell(value: unknown): string {
  if (typeof value === "string") return printable(value);
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "?";
}

/**
 * What a ring does, the most urgent first: `pending CONNECT; in flight RECVx2; past OPENAT,READ`,
 * or `-` for a ring that has done nothing that is still seen.
 */
export function opsCell(entry: Fields): string {
  const pending = Array.isArray(entry.pending)
    ? entry.pending.map(requestName)
    : arrayOf(entry.pending_opcodes).map((number) =>
      typeof number === "number" ? shortName(opcodeName(number), number) : "?"
    );
  const groups = [
    ["pending", pending],
    ["in flight", arrayOf(entry.in_flight).map(requestName)],
    ["past", arrayOf(entry.history).map(requestName)],
  ] as const;
  const shown = groups.filter(([, names]) => names.length > 0)
    .map(([state, names]) => `${state} ${counted(names)}`);
  return shown.length === 0 ? "-" : shown.join("; ");
}

/** Whether the ring goes around seccomp, else the seccomp mode: `off`, `strict` or `filter`. */
export function seccompCell(entry: Fields): string {
  if (entry.bypasses_seccomp === true) return "BYPASSED";
  const { mode } = fieldsOf(entry.seccomp);
  if (typeof mode === "number") return ["off", "strict", "filter"][mode] ?? String(mode);
  if (arrayOf(entry.missing).includes("seccomp_active")) return "?";
  return entry.seccomp_active === true ? "on" : entry.seccomp_active === false ? "off" : "?";
}

/** An opcode without its prefix; one without a name by its number; a registration's operation. */
export function opcodeCell(record: Fields): string {
  if (record.type === "IOUringRegister") return cell(record.operation).replace(/^IORING_/, "");
  return shortName(record.opcode, fieldsOf(record.io_uring).opcode_number);
}

/** A path, behind the directory that it begins at where that is known. */
function pathCell(info: Fields, key: string): string {
  const directory = `${DIRECTORY_OF_PATH[key]}_path`;
  if (typeof info[directory] !== "string") return printableField(info, key);
  const base = printableField(info, directory).replace(/\/$/, "");
  if (descriptorInPath(String(info[key])) !== undefined) {
    return `${printableField(info, key)} (${base})`;
  }
  return info[key] === "" ? base : `${base}/${printableField(info, key)}`;
}

/** What a request is about: its paths or its peer, else its fields. */
export function detailCell(record: Fields): string {
  if (record.type === "IOUringRegister") return `count=${cell(record.count)}`;
  const info = fieldsOf(record.op_info);
  if ("old_path" in info || "new_path" in info) {
    return `${pathCell(info, "old_path")} -> ${pathCell(info, "new_path")}`;
  }
  if ("path" in info) {
    const [path, opened] = [pathCell(info, "path"), targetCell(info.target)];
    // As ls(1) shows what a link leads to.
    return opened === undefined || opened === path ? path : `${path} -> ${opened}`;
  }
  if ("addr" in info) return peer(info);
  const [target, input] = [info.target, info.target_in].map(targetCell);
  if (input !== undefined) return `${input} -> ${target ?? "?"}`;
  if (target !== undefined) return target;
  return Object.entries(info)
    .filter(([, value]) => typeof value === "string" || typeof value === "number")
    .map(([key, value]) => `${printable(key)}=${cell(value)}`).join(" ");
}

/** An open file by its path or peer; undefined where it has none. */
function targetCell(value: unknown): string | undefined {
  const target = fieldsOf(value);
  if ("path" in target) return printableField(target, "path");
  return "addr" in target ? peer(target) : undefined;
}

/** `EACCES`, or a number, or nothing where the result is not known. */
export function resultCell(result: Fields): string {
  if (typeof result.errno === "string") return printable(result.errno);
  return typeof result.res === "number" ? String(result.res) : "";
}

/** The ids of the rules that fired, the gravest first. */
export function rulesCell(record: Fields): string {
  return arrayOf(fieldsOf(record.classification).rules).map((rule) => cell(fieldsOf(rule).id))
    .join(",");
}

/** `10.0.0.1:443`, `[::1]:443`. */
function peer({ addr, port }: Fields): string {
  const host = cell(addr);
  if (typeof port !== "number") return host;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function requestName(request: unknown): string {
  const { opcode, opcode_number } = fieldsOf(request);
  return shortName(opcode, opcode_number);
}

function shortName(opcode: unknown, number: unknown): string {
  if (typeof opcode !== "string") return "?";
  // A completion alone does not say what was completed.
  if (number === UNKNOWN_ID) return "?";
  if (opcode === "UNKNOWN" && typeof number === "number") return `op${number}`;
  return printable(opcode.replace(/^IORING_OP_/, ""));
}

/** Kinds of requests that are named of one state; what else there is, is counted. */
const NAMED = 6;

/** Names, each once, with how often where that is more than once; those that are not known last. */
function counted(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const kinds = [...counts].sort(([a], [b]) => Number(a === "?") - Number(b === "?"));
  const shown = kinds.slice(0, kinds.length > NAMED + 1 ? NAMED : kinds.length)
    .map(([name, times]) => times === 1 ? name : `${name}x${times}`);
  const left = kinds.slice(shown.length).reduce((sum, [, times]) => sum + times, 0);
  return left === 0 ? shown.join(",") : `${shown.join(",")},… ${left} more`;
}
