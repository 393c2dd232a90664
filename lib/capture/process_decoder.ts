import { type ProcessBlock, UNKNOWN_ID } from "../record/records.ts";
import { argumentsText } from "../uapi/arguments_text.ts";
import { capabilityText } from "../uapi/capabilities.ts";
import { containerId } from "../uapi/container_id.ts";
import { FLAG_SEPARATOR } from "../uapi/flags.ts";
import { baseName } from "../uapi/path_bytes.ts";
import { decodeText, putText, untilNul } from "../uapi/text.ts";
import type { BootClock } from "./clock.ts";
import { pathFromComponents } from "./path_bytes.ts";
import type { ProcessDescription } from "./process_table.ts";
import type { SectionReader } from "./sections.ts";
import type { Wire } from "./wire.ts";

/** Decodes what the kernel says of a process. */
export class ProcessDecoder {
  readonly #wire: Wire;
  readonly #sections: SectionReader;
  readonly #clock: BootClock;

  constructor(wire: Wire, options: { sections: SectionReader; clock: BootClock }) {
    this.#wire = wire;
    this.#sections = options.sections;
    this.#clock = options.clock;
  }

  /** The process record at `at`, `size` bytes long. */
  decode(view: DataView, at: number, size: number): ProcessDescription {
    const wire = this.#wire;
    const u32 = (name: string) => view.getUint32(at + wire.at(`process_record.${name}`), true);
    const u64 = (name: string) => view.getBigUint64(at + wire.at(`process_record.${name}`), true);
    const missing: string[] = [];
    const unverified: string[] = [];
    const valid = u32("valid");
    const has = (bit: string) => (valid & wire.at(bit)) !== 0;
    const known = <T>(key: string, bit: string, value: T, standIn: T): T => {
      if (has(bit)) return value;
      missing.push(`process.${key}`);
      return standIn;
    };

    const sections = this.#sections.read(view, at + wire.size("process_record"), at + size);
    const find = (kind: string) => sections.find((section) => section.kind === wire.at(kind));
    const startAt = at + wire.at("process_record.start");
    const pid = u32("pid");
    const block = {} as ProcessBlock;
    block.start_time = known(
      "start_time",
      "VALID_START",
      this.#clock.text(view.getUint32(startAt, true), view.getUint32(startAt + 4, true)),
      "",
    );
    block.pid = pid;
    block.tid = pid;
    block.ppid = known("ppid", "VALID_PPID", u32("ppid"), UNKNOWN_ID);
    block.uid = known("uid", "VALID_CRED", u32("uid"), UNKNOWN_ID);
    block.euid = known("euid", "VALID_CRED", u32("euid"), UNKNOWN_ID);
    block.auid = known("auid", "VALID_AUID", u32("auid"), UNKNOWN_ID);
    for (const key of ["cap_inheritable", "cap_permitted", "cap_effective"] as const) {
      block[key] = known(key, "VALID_CRED", capabilityText(u64(key)), "");
    }
    const kernelThread = has("EXE_NONE");
    const exe = find("SECTION_EXE");
    const secure = this.#secureText(u32("secureexec"));
    block.secureexec = kernelThread ? "" : known("secureexec", "VALID_SECURE", secure, "");
    const path = exe !== undefined && exe.bytes.length > 0
      ? pathFromComponents(exe.bytes)
      : new Uint8Array();
    if (path.length === 0 && !kernelThread) missing.push("process.filename");
    // Of a path that is too deep or too long the beginning is not there.
    const whole = exe !== undefined && exe.extra === 0 && path.length > 0;
    if (!whole && !kernelThread) missing.push("process.binary_path");
    putText(block, "filename", baseName(path));
    putText(block, "binary_path", path);
    const args = find("SECTION_ARGS");
    if (args !== undefined) unverified.push("process.args");
    else if (!kernelThread) missing.push("process.args");
    if (args !== undefined && args.extra !== 0) missing.push("process.args");
    putText(block, "args", argumentsText(args?.bytes ?? new Uint8Array()));
    const cgroup = find("SECTION_CGROUP");
    const cgroupPath = cgroup === undefined ? undefined : pathFromComponents(cgroup.bytes);
    if (cgroupPath === undefined) missing.push("process.container_id");
    else if (cgroup?.extra !== 0) missing.push("process.cgroup");
    block.container_id = cgroupPath === undefined ? "" : containerId(decodeText(cgroupPath).text);

    if (has("EXE_DELETED")) block.binary_deleted = true;
    if (has("VALID_CRED")) {
      block.gid = u32("gid");
      block.egid = u32("egid");
    }
    const comm = at + wire.at("process_record.comm");
    putText(
      block,
      "comm",
      untilNul(
        new Uint8Array(view.buffer, view.byteOffset + comm, wire.size("process_record.comm")),
      ),
    );
    if (cgroupPath !== undefined) putText(block, "cgroup", cgroupPath);
    if (has("VALID_START")) block.exec_id = `${pid}:${u64("start")}:${u64("exec_count")}`;
    const cwd = find("SECTION_CWD");
    if (cwd !== undefined && cwd.extra === 0) putText(block, "cwd", pathFromComponents(cwd.bytes));
    const name = at + wire.at("record.process");
    return {
      low: view.getUint32(name, true),
      high: view.getUint32(name + 4, true),
      image: u64("image"),
      block,
      missing,
      unverified,
    };
  }

  #secureText(bits: number): string {
    const names = ["SETUID", "SETGID", "FILE_CAPS"];
    if ((bits & this.#wire.at("SECURE_FILELESS")) !== 0) names.push("FILELESS_EXEC");
    return names.filter((name) =>
      name === "FILELESS_EXEC" || (bits & this.#wire.at(`SECURE_${name}`)) !== 0
    ).join(FLAG_SEPARATOR);
  }
}
