import type { Classification } from "../record/records.ts";
import type { PathConfig } from "../config/event_filter.ts";
import { OPCODES } from "../uapi/opcodes.ts";
import type { Classifier } from "./classifier.ts";
import { fieldsOf } from "./fields.ts";
import type { Filter } from "./filter.ts";
import {
  type Beginning,
  FD,
  KIND,
  MAX_VOCABULARY,
  MAX_WORD,
  NO_FD,
  QUIET_WITH_PATH,
  RING_HIGH,
  RING_LOW,
  type Vocabulary,
  type Word,
  WORD_KINDS,
} from "./line_splitter.ts";
import { beginningsOf, headOf } from "./path_matcher.ts";

/**
 * Events that pass a filter for their process alone, and that need not be read.
 *
 * Quiet ones hold nothing that a rule asks for or that the classifier takes note of. Most of a
 * stream are. What an event must be for that is told to the splitter as words; what came before it
 * is asked of the classifier.
 *
 * Repeated ones say what one before them said, and nothing that its verdict depends on has changed.
 *
 * Whatever is not known to be either is read, so that nothing is missed.
 */

/** Keys of a quiet event that may have any value: nothing that judges a record looks at them. */
const ANY = [
  ..."unverified sq_thread".split(" "),
  ..."offset len flags access_flags creation_flags dfd dfd_path mode mask iovecs".split(" "),
  ..."buf_group buf_index injected_result advice address".split(" "),
  ..."events epfd op sec nsec count target_user_data new_user_data".split(" "),
  ..."fd_in fd_out off_in off_out".split(" "),
];

/** The other keys of a quiet event. */
const KEYS: Partial<Record<Word["kind"], readonly string[]>> = {
  any: ANY,
  object: ["op_info", "io_uring", "target", "target_in"],
  nothing: ["fixed_file", "sqe_flags", "seccomp"],
  path: ["path"],
  target: ["kind"],
  opcode: ["opcode"],
  opcode_number: ["opcode_number"],
  fd: ["fd"],
  ring: ["ctx"],
  varying: ["timestamp", "user_data", "cpu", "seq"],
  target_kind: ["socket", "pipe"],
};

/** Below these a path may lead elsewhere: `/proc/self/root/etc`, `/dev/fd/3`. */
const MAGIC_HEADS = ["/proc", "/dev"];
const MAGIC = /^\/(?:proc|dev)\//;
const ASCII = /^\p{ASCII}*$/u;

/** An event that is not read: what is known of it. No record is one, whatever it says. */
export abstract class UnreadEvent {
  readonly pid: number;
  readonly classification: Classification | undefined;

  constructor(pid: number, classification: Classification | undefined) {
    this.pid = pid;
    this.classification = classification;
  }
}

/** Stands for the events of a process that say the same. */
export class RepeatedEvent extends UnreadEvent {
  /** What {@linkcode Classifier.version} was when one of them was judged. */
  readonly version: number;

  constructor(pid: number, classification: Classification | undefined, version: number) {
    super(pid, classification);
    this.version = version;
  }
}

/** Stands for the quiet events of a process. */
export class QuietEvent extends UnreadEvent {
  /** The halves of the address of the ring that it was found to be no stranger to. */
  ringLow = 0;
  ringHigh = 0;
  /** What {@linkcode Classifier.ringsVersion} was then. */
  ringsVersion = -1;

  constructor(pid: number) {
    super(pid, undefined);
  }
}

/** Tells which events need not be read for a filter and a classifier. */
export class UnreadEvents {
  readonly #filter: Filter;
  readonly #classifier: Classifier;

  constructor(filter: Filter, classifier: Classifier) {
    this.#filter = filter;
    this.#classifier = classifier;
  }

  /** What quiet events are known by; no words where there may be no such events. */
  vocabulary(): Vocabulary {
    const opcodes = this.#classifier.quietOpcodes();
    const all = new Uint8Array(32);
    const askedOf = new Map<PathConfig, Uint8Array>();
    for (const [opcode, paths] of opcodes) {
      addBit(all, opcode);
      for (const path of paths) {
        let bits = askedOf.get(path);
        if (bits === undefined) askedOf.set(path, bits = new Uint8Array(32));
        addBit(bits, opcode);
      }
    }
    const byHead = new Map<string, Beginning[]>();
    for (const [path, opcodes] of askedOf) {
      const glob = path.glob?.filter((glob) => !MAGIC.test(glob));
      for (const { text, within } of beginningsOf({ ...path, ...(glob ? { glob } : {}) })) {
        // A quiet event is ASCII.
        if (!ASCII.test(text + within)) continue;
        const head = headOf(text).slice(0, MAX_WORD);
        const some = byHead.get(head);
        if (some === undefined) byHead.set(head, [{ text, within, opcodes }]);
        else some.push({ text, within, opcodes });
      }
    }
    const heads: Word[] = MAGIC_HEADS.map((text) => {
      return { kind: "path_head", text, opcodes: all };
    });
    const beginnings: Beginning[] = [];
    for (const [text, some] of byHead) {
      if (MAGIC_HEADS.includes(text)) continue;
      heads.push({ kind: "path_head", text, number: beginnings.length, count: some.length });
      beginnings.push(...some);
    }
    const words: Word[] = [
      ...WORD_KINDS.flatMap((kind) => (KEYS[kind] ?? []).map((text) => ({ kind, text }))),
      ...[...opcodes.keys()].map((number) => {
        return { kind: "opcode_name", text: OPCODES[number]!.name, number } as const;
      }),
      ...heads,
    ];
    const isTooMuch = words.length > MAX_VOCABULARY || beginnings.length > MAX_VOCABULARY;
    return isTooMuch ? { words: [], beginnings: [] } : { words, beginnings };
  }

  /** What stands for the quiet events of a process; undefined where all its events must be read. */
  of(process: unknown): QuietEvent | undefined {
    const { pid } = fieldsOf(process);
    const isNumber = typeof pid === "number" && Number.isInteger(pid);
    if (!isNumber || !this.#filter.passesUnread(process)) return undefined;
    return new QuietEvent(pid);
  }

  /** Whether names matter, of those that quiet events use. */
  get asksNames(): boolean {
    return this.#classifier.remembersNames;
  }

  /** What stands for events that say what the last did that was judged; undefined if it depends. */
  repeatOf(pid: number, classification: Classification | undefined): RepeatedEvent | undefined {
    const { isRepeatable, version } = this.#classifier;
    return isRepeatable ? new RepeatedEvent(pid, classification, version) : undefined;
  }

  /** Whether the verdict on such events is still the same. */
  isRepeated(event: RepeatedEvent): boolean {
    return event.version === this.#classifier.version;
  }

  /** Whether an event that is quiet by its text, that of a row, may be so after what came before. */
  mayBeQuiet(rows: Int32Array, row: number): boolean {
    return rows[row + KIND] !== QUIET_WITH_PATH || !this.#classifier.remembersNames;
  }

  /** Whether it is; what came before it has been judged. */
  isQuiet(event: QuietEvent, rows: Int32Array, row: number): boolean {
    if (!this.mayBeQuiet(rows, row)) return false;
    const classifier = this.#classifier;
    const fd = rows[row + FD]!;
    if (fd !== NO_FD && classifier.remembers(event.pid, fd)) return false;
    if (!classifier.knowsRings) return true;
    const low = rows[row + RING_LOW]!;
    const high = rows[row + RING_HIGH]!;
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

function addBit(bits: Uint8Array, bit: number): void {
  bits[bit >> 3]! |= 1 << (bit & 7);
}
