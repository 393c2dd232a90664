/**
 * Lines of NDJSON, over `lines.c`.
 *
 * @module
 */

import {
  type LineSplitter,
  ROW,
  type SplitLines,
  type Vocabulary,
  WORD_KINDS,
} from "../lib/chain/line_splitter.ts";

const SYMBOLS = {
  // int32_t iouring_lines_begin(const struct word *all, uint32_t count,
  //   const struct beginning *beginnings, uint32_t beginnings_count)
  iouring_lines_begin: { parameters: ["buffer", "u32", "buffer", "u32"], result: "i32" },
  // int32_t iouring_lines_split(const uint8_t *bytes, uint32_t length, uint32_t at,
  //   uint8_t *left_out, struct row *rows, uint32_t max_rows, uint32_t max_json, bool names,
  //   struct split *split)
  iouring_lines_split: {
    parameters: ["buffer", "u32", "u32", "buffer", "buffer", "u32", "u32", "bool", "buffer"],
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
/** `struct word` and `struct beginning` of the shim: their sizes, and where their texts and opcodes are. */
const WORD = { size: 64, number: 2, count: 4, text: 6, opcodes: 32 };
const BEGINNING = { size: 96, text: 2, within: 48, opcodes: 64 };
const ENCODER = new TextEncoder();

/** The splitter of the one stream that a process reads. */
export class NativeSplitter implements LineSplitter {
  readonly #symbols: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];
  readonly #leftOut = new Uint8Array(MAX_PROCESSES);
  readonly #rows = new Int32Array(MAX_ROWS * ROW);
  readonly #json = new Uint8Array(MAX_JSON);
  /** `struct split` */
  readonly #split = new Uint32Array(7);

  /** Loads the shim from `path`. */
  constructor(path: string) {
    this.#symbols = Deno.dlopen(path, SYMBOLS).symbols;
  }

  begin({ words, beginnings }: Vocabulary): void {
    this.#leftOut.fill(0);
    const all = new Uint8Array(words.length * WORD.size);
    const numbers = new DataView(all.buffer);
    for (const [i, { kind, text, number = 0, count = 0, opcodes }] of words.entries()) {
      const word = all.subarray(i * WORD.size, (i + 1) * WORD.size);
      const { written } = ENCODER.encodeInto(text, word.subarray(WORD.text, WORD.opcodes));
      word.set([WORD_KINDS.indexOf(kind), written]);
      numbers.setUint16(i * WORD.size + WORD.number, number, true);
      numbers.setUint16(i * WORD.size + WORD.count, count, true);
      if (opcodes !== undefined) word.set(opcodes, WORD.opcodes);
    }
    const starts = new Uint8Array(beginnings.length * BEGINNING.size);
    for (const [i, { text, within, opcodes }] of beginnings.entries()) {
      const { size, text: textAt, within: withinAt, opcodes: opcodesAt } = BEGINNING;
      const beginning = starts.subarray(i * size, (i + 1) * size);
      beginning.set([
        ENCODER.encodeInto(text, beginning.subarray(textAt, withinAt)).written,
        ENCODER.encodeInto(within, beginning.subarray(withinAt, opcodesAt)).written,
      ]);
      beginning.set(opcodes, opcodesAt);
    }
    const failed = this.#symbols.iouring_lines_begin(
      all,
      words.length,
      starts,
      beginnings.length,
    );
    if (failed !== 0) throw new RangeError("Cannot begin to split lines: too many words");
  }

  split(bytes: Uint8Array<ArrayBuffer>, at: number, names: boolean): SplitLines {
    const failed = this.#symbols.iouring_lines_split(
      bytes,
      bytes.length,
      at,
      this.#leftOut,
      this.#rows,
      MAX_ROWS,
      MAX_JSON,
      names,
      this.#split,
    );
    if (failed !== 0) throw new RangeError("Cannot split lines: the last one has no newline");
    const [next, lines, skipped, rows, generation, texts, repeatGeneration] = this.#split;
    return {
      next: next!,
      lines: lines!,
      skipped: skipped!,
      rows: this.#rows.subarray(0, rows! * ROW),
      generation: generation!,
      texts: texts!,
      repeatGeneration: repeatGeneration!,
    };
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
