/**
 * Lines of NDJSON, over `lines.c`.
 *
 * @module
 */

import {
  type LineSplitter,
  ROW,
  type SplitLines,
  type Word,
  WORD_KINDS,
} from "../lib/chain/line_splitter.ts";

const SYMBOLS = {
  // int32_t iouring_lines_begin(const struct word *all, uint32_t count)
  iouring_lines_begin: { parameters: ["buffer", "u32"], result: "i32" },
  // int32_t iouring_lines_split(const uint8_t *bytes, uint32_t length, uint32_t at,
  //   uint8_t *left_out, struct row *rows, uint32_t max_rows, uint32_t max_json,
  //   struct split *split)
  iouring_lines_split: {
    parameters: ["buffer", "u32", "u32", "buffer", "buffer", "u32", "u32", "buffer"],
    result: "i32",
  },
  // uint32_t iouring_lines_processes(uint32_t texts, uint8_t *json)
  iouring_lines_processes: { parameters: ["u32", "buffer"], result: "u32" },
  // uint32_t iouring_lines_join(const uint8_t *bytes, const struct row *rows, uint32_t count,
  //   uint8_t *json)
  iouring_lines_join: { parameters: ["buffer", "buffer", "u32", "buffer"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** `MAX_PROCESSES` of the shim. */
const MAX_PROCESSES = 1 << 14;
/** Rows of a call. It takes as long with 128 and with 2048. */
const MAX_ROWS = 512;
/** Room for the array: more than `MAX_LINE` of the shim. */
const MAX_JSON = 2 << 20;
/** `struct word` of the shim: its size, and where the text and the opcodes are. */
const WORD_SIZE = 64;
const WORD_TEXT = 3;
const WORD_OPCODES = 32;
const ENCODER = new TextEncoder();

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

  begin(words: readonly Word[]): void {
    this.#leftOut.fill(0);
    const all = new Uint8Array(words.length * WORD_SIZE);
    for (const [i, { kind, text, number = 0, opcodes = [] }] of words.entries()) {
      const word = all.subarray(i * WORD_SIZE, (i + 1) * WORD_SIZE);
      const { written } = ENCODER.encodeInto(text, word.subarray(WORD_TEXT, WORD_OPCODES));
      word.set([WORD_KINDS.indexOf(kind), written, number]);
      for (const opcode of opcodes) word[WORD_OPCODES + (opcode >> 3)]! |= 1 << (opcode & 7);
    }
    if (this.#symbols.iouring_lines_begin(all, words.length) !== 0) {
      throw new RangeError(`Cannot begin with ${words.length} words: they are too many`);
    }
  }

  split(bytes: Uint8Array<ArrayBuffer>, at: number): SplitLines {
    const failed = this.#symbols.iouring_lines_split(
      bytes,
      bytes.length,
      at,
      this.#leftOut,
      this.#rows,
      MAX_ROWS,
      MAX_JSON,
      this.#split,
    );
    if (failed !== 0) throw new RangeError("Cannot split lines: the last one has no newline");
    const [next = 0, lines = 0, skipped = 0, rows = 0, generation = 0, texts = 0] = this.#split;
    return { next, lines, skipped, rows: this.#rows.subarray(0, rows * ROW), generation, texts };
  }

  processes(texts: number): Uint8Array {
    return this.#json.subarray(0, this.#symbols.iouring_lines_processes(texts, this.#json));
  }

  join(bytes: Uint8Array<ArrayBuffer>, rows: Int32Array<ArrayBuffer>): Uint8Array {
    const length = this.#symbols.iouring_lines_join(bytes, rows, rows.length / ROW, this.#json);
    return this.#json.subarray(0, length);
  }

  leaveOut(process: number): void {
    this.#leftOut[process] = 1;
  }
}
