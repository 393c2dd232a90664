import { type KnownProcess, ProcessMemo } from "./process_memo.ts";
import {
  asciiOf,
  BLANK,
  type Block,
  COLON,
  COMMA,
  isAt,
  isSame,
  keyEnd,
  OBJECT,
  OBJECT_END,
  valueEnd,
  wordsOf,
} from "./json_bytes.ts";

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const TYPE = asciiOf("type");
const PROCESS = asciiOf("process");
const MISSING = asciiOf("missing");
const EVENT = asciiOf('"IOUringEvent"');
/** How events begin, as this program and others write them. */
const HEADS = [
  '{"type":"IOUringEvent","process":',
  '{"type": "IOUringEvent", "process": ',
].map((text) => ({
  words: wordsOf(asciiOf(text)),
  start: 0,
  length: text.length,
  /** Where the comma before the process is. */
  before: text.indexOf(","),
}));
/** How many objects and lists may lie in one another. */
const MAX_DEPTH = 8;
/** Verdicts that are remembered, and the bytes of the values of each. */
const MAX_VERDICTS = 4096;
const MAX_DECIDING = 1024;

/** Which processes' events are left out, whatever else they say. */
export interface ProcessVerdict {
  /** The keys of a process that decide, at most 30; none where no process is left out. */
  readonly keys: readonly string[];
  /** @param process The values of those keys. */
  readonly isLeftOut: (process: Readonly<Record<string, unknown>>) => boolean;
}

/** A key that decides. */
interface Key {
  readonly name: string;
  readonly text: Uint8Array;
  /** The key of its exact bytes, where they are not UTF-8. */
  readonly hex: Uint8Array;
}

/** What was found of the processes that have these values. */
interface Verdict {
  readonly values: Uint8Array;
  readonly isLeftOut: boolean;
}

/** A member of the object that a line is, whose value is known. */
export interface KnownMember {
  readonly process: KnownProcess;
  /**
   * Where it begins and ends, with the comma that it takes away when it is cut out of the line.
   * What is left, if it has members, is JSON if and only if the line is.
   */
  readonly start: number;
  readonly end: number;
}

/** Finds the events that are left out for their process, several times faster than reading them. */
export class EventSieve {
  readonly #verdictOn: ProcessVerdict["isLeftOut"];
  readonly #keys: readonly Key[];
  /** 1 at the first byte of each key. */
  readonly #initials = new Uint8Array(256);
  /** Where the values of the keys begin and end, in turns. */
  readonly #values: Int32Array;
  /** Those values, with a comma after each. */
  readonly #deciding = new Uint8Array(MAX_DECIDING);
  /** By a hash of the values: of two that have the same one, the later is kept. */
  readonly #verdicts = new Map<number, Verdict>();
  readonly #memo = new ProcessMemo();
  // Of the process that was met last.
  #isLeftOut = false;
  #process: KnownProcess | undefined;
  #start = 0;
  #end = 0;

  constructor({ keys, isLeftOut }: ProcessVerdict) {
    this.#verdictOn = isLeftOut;
    this.#keys = keys.map((name) => ({ name, text: asciiOf(name), hex: asciiOf(`${name}_hex`) }));
    for (const { text } of this.#keys) this.#initials[text[0]!] = 1;
    this.#values = new Int32Array(keys.length * 2);
  }

  /** The process of the line that was not stepped over last, where it is known. */
  get member(): KnownMember | undefined {
    const process = this.#process;
    return process && { process, start: this.#start, end: this.#end };
  }

  /**
   * Steps over an event that is left out.
   *
   * @param block Whole lines, each with its newline.
   * @param at Where a line begins.
   * @returns Where the next line begins; -1 where this one has to be read.
   */
  skip(block: Block, at: number): number {
    const { bytes } = block;
    this.#process = undefined;
    if (bytes[at] !== OBJECT) return -1;
    let isEvent = false;
    let hasProcess = false;
    let i = at;
    const head = headAt(block, at);
    if (head !== undefined) {
      i = this.#passProcess(block, at + head.length);
      if (i < 0 || !this.#noteMember(bytes, at + head.before, i)) return -1;
      isEvent = hasProcess = true;
    }
    while (i === at || bytes[i] === COMMA) {
      const before = i++;
      if (bytes[i] === BLANK) i++;
      const key = i + 1;
      const end = keyEnd(bytes, i);
      if (end < 0 || bytes[end + 1] !== COLON) return -1;
      i = end + 2;
      if (bytes[i] === BLANK) i++;
      const value = i;
      // Of a key that comes twice the last counts; here each must do.
      if (isAt(bytes, key, end, TYPE)) {
        i = valueEnd(block, i, 0);
        isEvent = isAt(bytes, value, i, EVENT);
        if (!isEvent && hasProcess) return -1;
      } else if (isAt(bytes, key, end, PROCESS)) {
        i = this.#passProcess(block, i);
        if (i < 0 || !this.#noteMember(bytes, before, i)) return -1;
        hasProcess = true;
      } else {
        // What could not be read is no reason to leave an event out.
        if (isAt(bytes, key, end, MISSING)) return -1;
        i = valueEnd(block, i, MAX_DEPTH);
        if (i < 0) return -1;
      }
    }
    if (bytes[i] !== OBJECT_END || !isEvent || !hasProcess) return -1;
    i++;
    if (bytes[i] === RETURN) i++;
    return bytes[i] === NEWLINE ? i + 1 : -1;
  }

  /**
   * Notes where the process is that ends before `end` and stands behind `before`.
   *
   * @returns Whether events of it are left out.
   */
  #noteMember(bytes: Uint8Array, before: number, end: number): boolean {
    const isFirst = bytes[before] !== COMMA;
    this.#start = isFirst ? before + 1 : before;
    this.#end = isFirst && bytes[end] === COMMA ? end + 1 : end;
    if (bytes[end] !== COMMA && bytes[end] !== OBJECT_END) this.#process = undefined;
    return this.#isLeftOut;
  }

  /** The index after the process at `i`, of which is known then whether it is left out; or -1. */
  #passProcess(block: Block, i: number): number {
    this.#process = this.#memo.find(block, i);
    if (this.#process !== undefined) {
      this.#isLeftOut = this.#process.isLeftOut;
      return i + this.#process.length;
    }
    const end = this.#processEnd(block, i);
    if (end < 0) return end;
    this.#isLeftOut = this.#judge(block.bytes);
    this.#process = this.#memo.add(block.bytes, { start: i, end, isLeftOut: this.#isLeftOut });
    return end;
  }

  /** The index after the process at `i`, whose values that decide are found on the way; or -1. */
  #processEnd(block: Block, i: number): number {
    const { bytes } = block;
    // A bit for each key: none may come twice.
    let found = 0;
    if (bytes[i] !== OBJECT) return -1;
    for (i++;; i++) {
      if (bytes[i] === BLANK) i++;
      const key = i + 1;
      const end = keyEnd(bytes, i);
      if (end < 0 || bytes[end + 1] !== COLON) return -1;
      i = end + 2;
      if (bytes[i] === BLANK) i++;
      const value = i;
      i = valueEnd(block, i, 0);
      if (i < 0) return -1;
      if (this.#initials[bytes[key]!] === 1) {
        for (let k = 0; k < this.#keys.length; k++) {
          const { text, hex } = this.#keys[k]!;
          if (isAt(bytes, key, end, hex)) return -1;
          if (!isAt(bytes, key, end, text)) continue;
          if ((found & 1 << k) !== 0) return -1;
          found |= 1 << k;
          this.#values[2 * k] = value;
          this.#values[2 * k + 1] = i;
        }
      }
      if (bytes[i] === COMMA) continue;
      return bytes[i] === OBJECT_END && found === (1 << this.#keys.length) - 1 ? i + 1 : -1;
    }
  }

  /** Whether the process whose values were found is left out. */
  #judge(bytes: Uint8Array): boolean {
    let length = 0;
    let hash = 0;
    for (let k = 0; k < this.#values.length; k += 2) {
      const end = this.#values[k + 1]!;
      if (length + end - this.#values[k]! >= MAX_DECIDING) return this.#verdict(bytes);
      for (let i = this.#values[k]!; i < end; i++) {
        hash = Math.imul(hash, 31) + (this.#deciding[length++] = bytes[i]!) | 0;
      }
      hash = Math.imul(hash, 31) + (this.#deciding[length++] = COMMA) | 0;
    }
    const known = this.#verdicts.get(hash);
    if (known !== undefined && isAt(this.#deciding, 0, length, known.values)) {
      return known.isLeftOut;
    }
    const isLeftOut = this.#verdict(bytes);
    if (this.#verdicts.size >= MAX_VERDICTS) this.#verdicts.clear();
    this.#verdicts.set(hash, { values: this.#deciding.slice(0, length), isLeftOut });
    return isLeftOut;
  }

  #verdict(bytes: Uint8Array): boolean {
    const decoder = new TextDecoder();
    return this.#verdictOn(Object.fromEntries(this.#keys.map(({ name }, k) => {
      const text = decoder.decode(bytes.subarray(this.#values[2 * k], this.#values[2 * k + 1]));
      return [name, JSON.parse(text)];
    })));
  }
}

/** What a line begins with, where that is how events begin. */
function headAt({ words }: Block, at: number): typeof HEADS[number] | undefined {
  for (const head of HEADS) if (isSame(words, at, head)) return head;
  return undefined;
}
