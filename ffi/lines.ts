/**
 * Lines of NDJSON, over `lines.c`.
 *
 * @module
 */

import { type LineSplitter, ROW, type SplitLines } from "../lib/chain/line_splitter.ts";

const SYMBOLS = {
  // int32_t iouring_lines_split(const uint8_t *bytes, uint32_t length, uint32_t at,
  //   uint8_t *left_out, struct row *rows, uint32_t max_rows,
  //   uint8_t *json, uint32_t max_json, struct split *split)
  iouring_lines_split: {
    parameters: ["buffer", "u32", "u32", "buffer", "buffer", "u32", "buffer", "u32", "buffer"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** `MAX_PROCESSES` of the shim. */
const MAX_PROCESSES = 1 << 14;
/** Rows of a call. It takes as long with 128 and with 2048. */
const MAX_ROWS = 512;
/** Room for the array: more than `MAX_LINE` of the shim. */
const MAX_JSON = 2 << 20;

/** The splitter of the one stream that a process reads. */
export class NativeSplitter implements LineSplitter {
  readonly #symbols: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];
  readonly #leftOut = new Uint8Array(MAX_PROCESSES);
  readonly #rows = new Int32Array(MAX_ROWS * ROW);
  readonly #json = new Uint8Array(MAX_JSON);
  /** `struct split` */
  readonly #split = new Uint32Array(6);

  /** Loads the shim from `path`. */
  constructor(path: string) {
    this.#symbols = Deno.dlopen(path, SYMBOLS).symbols;
  }

  split(bytes: Uint8Array<ArrayBuffer>, at: number): SplitLines {
    const failed = this.#symbols.iouring_lines_split(
      bytes,
      bytes.length,
      at,
      this.#leftOut,
      this.#rows,
      MAX_ROWS,
      this.#json,
      MAX_JSON,
      this.#split,
    );
    if (failed !== 0) throw new RangeError("Cannot split lines: the last one has no newline");
    const [next = 0, lines = 0, skipped = 0, rows = 0, json = 0, generation = 0] = this.#split;
    return {
      next,
      lines,
      skipped,
      rows: this.#rows.subarray(0, rows * ROW),
      json: this.#json.subarray(0, json),
      generation,
    };
  }

  leaveOut(process: number): void {
    this.#leftOut[process] = 1;
  }
}
