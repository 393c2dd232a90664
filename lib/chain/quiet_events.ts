import { OPCODES } from "../uapi/opcodes.ts";
import type { Classifier } from "./classifier.ts";
import { fieldsOf } from "./fields.ts";
import type { Filter } from "./filter.ts";
import { KIND, NO_FD, QUIET_WITH_PATH, type Word, WORD_KINDS } from "./line_splitter.ts";

/**
 * Quiet events: those that pass a filter for their process alone, and hold nothing that a rule asks
 * for or that the classifier takes note of. Most of a stream are. They are known by their text, and
 * pass without being read.
 *
 * What an event must be for that is told to the splitter as words; what came before it is asked of
 * the classifier. Whatever is not known to be quiet is read, so that nothing is missed.
 */

/** Keys of a quiet event that may have any value: nothing that judges a record looks at them. */
const ANY = [
  ..."timestamp unverified user_data sq_thread cpu seq filters".split(" "),
  ..."offset len flags access_flags creation_flags dfd dfd_path mask iovecs".split(" "),
  ..."buf_group buf_index injected_result advice address".split(" "),
  ..."events epfd op sec nsec count target_user_data new_user_data".split(" "),
  ..."fd_in fd_out off_in off_out".split(" "),
];

/** The other keys of a quiet event. `mode` is that of seccomp, where it is a number. */
const KEYS: Partial<Record<Word["kind"], readonly string[]>> = {
  any: ANY,
  object: ["op_info", "io_uring", "seccomp", "target", "target_in"],
  nothing: ["fixed_file", "sqe_flags", "mode"],
  path: ["path"],
  target: ["kind"],
  opcode: ["opcode"],
  opcode_number: ["opcode_number"],
  fd: ["fd"],
  ring: ["ctx"],
  target_kind: ["socket", "pipe"],
};

/** Below these a path may lead elsewhere: `/proc/self/root/etc`, `/dev/fd/3`. */
const MAGIC_HEADS = ["/proc", "/dev"];
const ASCII = /^\p{ASCII}*$/u;
/** What `lines.c` has room for. */
const MAX_WORDS = 255;

/** Stands for the quiet events of a process: it is all that is known of them. */
export class QuietEvent {
  readonly type = "IOUringEvent";
  readonly process: object;
  readonly pid: number;
  /** The halves of the address of the ring that it was found to be no stranger to. */
  ringLow = 0;
  ringHigh = 0;
  /** What {@linkcode Classifier.ringsVersion} was then. */
  ringsVersion = -1;

  constructor(process: object, pid: number) {
    this.process = process;
    this.pid = pid;
  }
}

/** Tells which events are quiet for a filter and a classifier. */
export class QuietEvents {
  readonly #filter: Filter;
  readonly #classifier: Classifier;

  constructor(filter: Filter, classifier: Classifier) {
    this.#filter = filter;
    this.#classifier = classifier;
  }

  /** The words of quiet events, for a splitter; none where there may be no such events. */
  words(): Word[] {
    const opcodes = this.#classifier.quietOpcodes();
    const told = new Map<string, number[]>();
    for (const [opcode, heads] of opcodes) {
      for (const head of new Set([...heads, ...MAGIC_HEADS])) {
        // A quiet event is ASCII.
        if (!ASCII.test(head)) continue;
        const before = told.get(head);
        if (before === undefined) told.set(head, [opcode]);
        else before.push(opcode);
      }
    }
    const words: Word[] = [
      ...WORD_KINDS.flatMap((kind) => (KEYS[kind] ?? []).map((text) => ({ kind, text }))),
      ...[...opcodes.keys()].map((number) => {
        return { kind: "opcode_name", text: OPCODES[number]!.name, number } as const;
      }),
      ...[...told].map(([text, opcodes]) => ({ kind: "path_head", text, opcodes }) as const),
    ];
    return words.length > MAX_WORDS ? [] : words;
  }

  /** What stands for the quiet events of a process; undefined where all its events must be read. */
  of(process: unknown): QuietEvent | undefined {
    const { pid } = fieldsOf(process);
    const isNumber = typeof pid === "number" && Number.isInteger(pid);
    if (!isNumber || !this.#filter.passesUnread(process)) return undefined;
    return new QuietEvent(process as object, pid);
  }

  /** Whether an event that is quiet by its text, that of a row, may be so after what came before. */
  mayBeQuiet(rows: Int32Array, row: number): boolean {
    return rows[row + KIND] !== QUIET_WITH_PATH || !this.#classifier.remembersNames;
  }

  /** Whether it is; what came before it has been judged. */
  isQuiet(event: QuietEvent, rows: Int32Array, row: number): boolean {
    if (!this.mayBeQuiet(rows, row)) return false;
    const classifier = this.#classifier;
    const fd = rows[row + 7]!;
    if (fd !== NO_FD && classifier.remembers(event.pid, fd)) return false;
    if (!classifier.knowsRings) return true;
    const low = rows[row + 8]!;
    const high = rows[row + 9]!;
    if (
      low !== event.ringLow || high !== event.ringHigh ||
      event.ringsVersion !== classifier.ringsVersion
    ) {
      const address = BigInt(high >>> 0) << 32n | BigInt(low >>> 0);
      if (classifier.isStranger(event.pid, `0x${address.toString(16)}`)) return false;
      event.ringLow = low;
      event.ringHigh = high;
      event.ringsVersion = classifier.ringsVersion;
    }
    return true;
  }
}
