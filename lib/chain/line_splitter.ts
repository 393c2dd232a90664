const NEWLINE = 10;

/** In place of a process's number: the line is in the array, whole. */
export const NO_PROCESS = -1;
/** In place of a process's number: the line is not in the array. */
export const NOT_TAKEN = -2;
/** Numbers of a row: see {@linkcode SplitLines.rows}. */
export const ROW = 11;
/** Where in a row its kind is. */
export const KIND = 6;
/** Kinds: an event of a process that has a number, of which nothing is missing. */
export const EVENT = 1;
/** The same, and quiet; whether it names a path. */
export const QUIET = 2;
export const QUIET_WITH_PATH = 3;
/** One that is left out, and one that says what another did; the splitter gives neither. */
export const LEFT_OUT = 4;
export const REPEATED = 5;
/** Where in the row of a quiet event its descriptor and the halves of its ring's address are. */
export const FD = 7;
export const RING_LOW = 8;
export const RING_HIGH = 9;
/** Where in the row of an event the number of what it says is, and what is there without one. */
export const REPEAT = 10;
export const NO_REPEAT = -1;
/** In place of a descriptor: there is none. */
export const NO_FD = -2;

/** Lines of a block, one after another, of which some need not be read. */
export interface SplitLines {
  /** Where the first line begins that was not looked at. */
  readonly next: number;
  readonly lines: number;
  /** Events that were left out for their process. */
  readonly skipped: number;
  /**
   * Eleven numbers for each line that has to be read: where it begins and where it ends, behind its
   * newline; its number among these lines, from 0; the number of its process, or why there is none;
   * where the text of that process begins and ends; its kind, or 0. Of a quiet event: its
   * descriptor, or NO_FD; the lower and the upper half of its ring's address, or 0. The number of
   * what an event says, which is the same for the same but for values that vary, or NO_REPEAT.
   */
  readonly rows: Int32Array<ArrayBuffer>;
  /** Where this is another than before, processes are numbered anew, from 0. */
  readonly generation: number;
  /** Not 0 where processes came that have no number yet; they have the next ones. */
  readonly texts: number;
  /** Where this is another than before, what events say is numbered anew. */
  readonly repeatGeneration: number;
}

/**
 * What words are by which quiet events are known, in the order of the shim's `enum word_kind`. The
 * first are keys, by what their values have to be; an event with other keys is not quiet.
 */
export const WORD_KINDS = [
  "any",
  "object",
  "nothing",
  "path",
  "target",
  "opcode",
  "opcode_number",
  "fd",
  "ring",
  "varying",
  "opcode_name",
  "path_head",
  "target_kind",
] as const;

/** A key or a value of an event, ASCII. */
export interface Word {
  readonly kind: typeof WORD_KINDS[number];
  /** Only the first {@linkcode MAX_WORD} characters count. */
  readonly text: string;
  /** The opcode of an `opcode_name`; the first of the beginnings that have a `path_head`. */
  readonly number?: number;
  /** How many beginnings have a `path_head`; every path with it is told where that is 0. */
  readonly count?: number;
  /** Opcodes that such a path is told of: 32 bytes, a bit for each. */
  readonly opcodes?: Uint8Array;
}

/** How a path begins that is told, ASCII. */
export interface Beginning {
  /** Only the first 46 characters count. */
  readonly text: string;
  /** What comes somewhere behind it; only the first 16 characters count. */
  readonly within: string;
  /** Opcodes that it is told of: 32 bytes, a bit for each. */
  readonly opcodes: Uint8Array;
}

/** By what quiet events are known; without words there are none. */
export interface Vocabulary {
  readonly words: readonly Word[];
  readonly beginnings: readonly Beginning[];
}

/** At most so many of either. */
export const MAX_VOCABULARY = 2048;
/** Characters of a word that count. */
export const MAX_WORD = 26;

/** Splits blocks into lines, and knows processes that came before by their text. */
export interface LineSplitter {
  /**
   * Splits some of a block's lines.
   *
   * @param bytes Whole lines, each with its newline.
   * @param at Where a line begins.
   * @param names Whether what quiet events say gets a number, too, where they name a path.
   * @returns What is valid until the next call.
   */
  split(bytes: Uint8Array<ArrayBuffer>, at: number, names: boolean): SplitLines;
  /** The processes that got a number, as an array of JSON, ASCII; `texts` is what the split gave. */
  processes(texts: number): Uint8Array;
  /**
   * Puts the lines of rows together as one array of JSON: those that have a process's number, with 0
   * in its place, or none, and whose kind comes before QUIET.
   *
   * @param bytes What was split, and `rows` what that gave.
   * @returns ASCII, empty where there is no such row; valid until the next call.
   */
  join(bytes: Uint8Array<ArrayBuffer>, rows: Int32Array<ArrayBuffer>): Uint8Array;
  /** Begins a stream. */
  begin(vocabulary: Vocabulary): void;
  /** Leaves out the events of a process from now on. */
  leaveOut(process: number): void;
}

/** Finds lines, and nothing in them. */
export const PLAIN_SPLITTER: LineSplitter = {
  split(bytes, at) {
    const next = bytes.indexOf(NEWLINE, at) + 1;
    const rows = Int32Array.of(at, next, 0, NOT_TAKEN, 0, 0, 0, 0, 0, 0, NO_REPEAT);
    return { next, lines: 1, skipped: 0, rows, generation: 0, texts: 0, repeatGeneration: 0 };
  },
  processes: () => new Uint8Array(),
  join: (bytes) => bytes.subarray(0, 0),
  begin() {},
  leaveOut() {},
};
