const NEWLINE = 10;

/** In place of a process's number: the line is in the array, whole. */
export const NO_PROCESS = -1;
/** In place of a process's number: the line is not in the array. */
export const NOT_TAKEN = -2;
/** Numbers of a row: see {@linkcode SplitLines.rows}. */
export const ROW = 6;

/** Lines of a block, one after another, of which some need not be read. */
export interface SplitLines {
  /** Where the first line begins that was not looked at. */
  readonly next: number;
  readonly lines: number;
  /** Events that were left out for their process. */
  readonly skipped: number;
  /**
   * Six numbers for each line that has to be read: where it begins and where it ends, behind its
   * newline; its number among these lines, from 0; the number of its process, or why there is none;
   * where the text of that process begins and ends.
   */
  readonly rows: Int32Array;
  /**
   * One array of JSON, as ASCII, with the object of each row that says so, in their order; with 0
   * as `process`, where that has a number. Empty where there is no such row.
   */
  readonly json: Uint8Array;
  /** Numbers of processes mean others where this is another than before. */
  readonly generation: number;
}

/** Splits blocks into lines, and knows processes that came before by their text. */
export interface LineSplitter {
  /**
   * Splits some of a block's lines.
   *
   * @param bytes Whole lines, each with its newline.
   * @param at Where a line begins.
   * @returns What is valid until the next call.
   */
  split(bytes: Uint8Array<ArrayBuffer>, at: number): SplitLines;
  /** Leaves out the events of a process from now on. */
  leaveOut(process: number): void;
}

/** Finds lines, and nothing in them. */
export const PLAIN_SPLITTER: LineSplitter = {
  split(bytes, at) {
    const next = bytes.indexOf(NEWLINE, at) + 1;
    const rows = Int32Array.of(at, next, 0, NOT_TAKEN, 0, 0);
    return { next, lines: 1, skipped: 0, rows, json: bytes.subarray(0, 0), generation: 0 };
  },
  leaveOut() {},
};
