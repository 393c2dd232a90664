/**
 * What the guest itself said about its rings.
 *
 * @module
 */

/** A JSON object of the workload's. */
export type TruthObject = { [key: string]: unknown };

/** One ring as the process that made it knows it. */
export interface RingTruth {
  /** The scenario's name for the ring. */
  name: string;
  /** Whether a file descriptor of a process shows it. */
  fd_visible: boolean;
  /** When it was made, in seconds since 1970. */
  created: number;
  /** What an `IOUringEntry` must say of it, key by key. */
  expect: TruthObject;
  /** Start of its process after boot, in ticks of 10 ms; 0 if not its own. */
  start_ticks: number;
  /** Its process has zeroed the queues: completions that were there read as 0. */
  wiped?: boolean;
  /** It no longer exists: only memory that nothing has used again tells of it. */
  gone?: boolean;
  /** Its queues contradict what the kernel keeps. */
  scrubbed?: boolean;
}

/** One request, as the program that made it knows it. */
export interface OperationTruth {
  /** What it is called in the published tools. */
  operation: string;
  user_data: string;
  opcode: number;
  res: number;
  path?: string;
}

/** One `/proc/PID/fdinfo/FD` of a ring. */
export interface FdInfo {
  pid: number;
  fd: number;
  text: string;
}

/** Everything the guest said. */
export interface LabTruth {
  rings: RingTruth[];
  /** Requests of a program that tells of them and not of its rings. */
  operations: OperationTruth[];
  /** Rings that this kernel refused to make, and scenarios that it lacks. */
  skipped: { skipped: string; errno: string }[];
  /** What went wrong in the workload; empty in a good run. */
  errors: TruthObject[];
  fdinfo: FdInfo[];
  /** `/proc/version`. */
  version: string;
  /** Boot, in seconds since 1970. */
  boot_time: number;
  /** A few symbols with their addresses in this boot. */
  symbols: { [name: string]: string };
}

/** Parses the text of the guest's second serial line. */
export function parseTruth(text: string): LabTruth {
  const truth: LabTruth = {
    rings: [],
    operations: [],
    skipped: [],
    errors: [],
    fdinfo: [],
    version: "",
    boot_time: 0,
    symbols: {},
  };
  let open: FdInfo | undefined;
  for (const line of text.split("\n")) {
    const words = line.split(" ");
    if (open) {
      if (line === "END") open = undefined;
      else open.text += line + "\n";
    } else if (line.startsWith("{")) {
      const object = JSON.parse(line);
      if ("error" in object) truth.errors.push(object);
      else if ("skipped" in object) truth.skipped.push(object);
      else if ("operation" in object) truth.operations.push(object);
      else truth.rings.push(object);
    } else if (words[0] === "FDINFO") {
      open = { pid: Number(words[1]), fd: Number(words[2]), text: "" };
      truth.fdinfo.push(open);
    } else if (words[0] === "VERSION") {
      truth.version = words.slice(1).join(" ");
    } else if (words[0] === "BOOT") {
      truth.boot_time = Number(words[2]);
    } else if (words[0] === "SYMBOL") {
      truth.symbols[words[3]!] = `0x${words[1]}`;
    }
  }
  return truth;
}
