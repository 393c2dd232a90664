import { cutFront, cutToWidth, displayWidth } from "../record/display_width.ts";

const GAP = "  ";
/** Rows that wait for {@linkcode Table.flush} at most, to be measured together. */
const MEASURED = 256;
const MIN_FLEXIBLE = 10;
/** What the flexible column should have, even if others are narrowed for it. */
const GOOD_FLEXIBLE = 28;
/** Columns of the terminal that may be wanting before a column is left out: the last one is cut. */
const MOST_WANTING = 6;
/** What the flexible column is padded to where nothing is cut; longer cells push the rest along. */
const WIDE_FLEXIBLE = 48;

/** One column of a {@linkcode Table}. */
export interface Column {
  readonly title: string;
  /** Most columns of the terminal it takes where the table is fitted to one. */
  readonly max?: number;
  /** What it may be narrowed to for the sake of the flexible column. */
  readonly min?: number;
  /** Takes what the other columns leave: the one column without `max`. */
  readonly flexible?: boolean;
  /** Left out where the terminal is too narrow for all, the lowest first. */
  readonly spare?: number;
  /** Aligned to the right: numbers. */
  readonly right?: boolean;
  /** What tells is at the end: it is cut at the front. */
  readonly tail?: boolean;
}

/** How a {@linkcode Table} looks. */
export interface TableOptions {
  /** Columns of the terminal; undefined where nothing is to be cut. */
  readonly columns: number | undefined;
  /** Whether styles are written. */
  readonly color: boolean;
}

interface Row {
  readonly cells: readonly string[];
  readonly style: string;
}

/**
 * Rows of text in columns. Rows are measured up to {@linkcode Table.flush} or 256 of them; columns
 * become wider with later ones, as those of a stream come one by one. The header comes before the
 * first row, and again where a column has to be left out.
 */
export class Table {
  readonly #columns: readonly Column[];
  /** Indices of columns that are left out. */
  readonly #hidden = new Set<number>();
  /** The widest cells so far, by column. */
  readonly #widest: number[];
  readonly #options: TableOptions;
  readonly #addLine: (line: string) => void;
  #waiting: Row[] = [];
  #widths: number[] | undefined;

  /** @param addLine Takes each line, without newline. */
  constructor(columns: readonly Column[], options: TableOptions, addLine: (line: string) => void) {
    this.#columns = columns;
    this.#widest = columns.map(({ title }) => title.length);
    this.#options = options;
    this.#addLine = addLine;
  }

  /**
   * Adds a row.
   *
   * @param cells Printable text, one for each column.
   * @param style Parameters of an SGR sequence, such as `31` for red, or "".
   */
  add(cells: readonly string[], style = ""): void {
    this.#waiting.push({ cells, style });
    if (this.#waiting.length >= MEASURED) this.flush();
  }

  /** Writes the rows that wait to be measured. */
  flush(): void {
    if (this.#waiting.length === 0) return;
    const hidden = this.#widths === undefined ? undefined : this.#hidden.size;
    if (this.#measure() || this.#widths === undefined) this.#widths = this.#fit();
    if (this.#hidden.size !== hidden) {
      this.#print({ cells: this.#columns.map(({ title }) => title), style: "1" });
    }
    for (const row of this.#waiting) this.#print(row);
    this.#waiting = [];
  }

  /** Measures what waits; whether any of it is wider than what came before. */
  #measure(): boolean {
    let isWider = false;
    for (const { cells } of this.#waiting) {
      for (const [i, cell] of cells.entries()) {
        const width = displayWidth(cell);
        if (width <= this.#widest[i]!) continue;
        this.#widest[i] = width;
        isWider = true;
      }
    }
    return isWider;
  }

  #fit(): number[] {
    const { columns } = this.#options;
    const widths = this.#columns.map(({ max = Infinity }, i) =>
      columns === undefined ? this.#widest[i]! : Math.min(this.#widest[i]!, max)
    );
    if (columns !== undefined) this.#hide(widths, columns);
    const flexible = this.#columns.findIndex((column) => column.flexible);
    const others = widths.filter((_, i) => i !== flexible && !this.#hidden.has(i));
    let left = columns === undefined
      ? WIDE_FLEXIBLE
      : columns - others.reduce((sum, width) => sum + GAP.length + width, 0);
    const wanted = Math.min(widths[flexible] ?? 0, GOOD_FLEXIBLE);
    for (const [i, { min }] of this.#columns.entries()) {
      if (min === undefined || left >= wanted || this.#hidden.has(i)) continue;
      const taken = Math.max(0, Math.min(wanted - left, widths[i]! - min));
      widths[i]! -= taken;
      left += taken;
    }
    left = Math.max(left, MIN_FLEXIBLE);
    return widths.map((width, i) => i === flexible ? Math.min(width, left) : width);
  }

  /** Leaves columns out until the others fit, as narrow as they may be. */
  #hide(widths: readonly number[], columns: number): void {
    const narrow = widths.map((width, i) => {
      const { min = width, flexible } = this.#columns[i]!;
      return GAP.length + Math.min(width, flexible ? MIN_FLEXIBLE : min);
    });
    let wanting = narrow.reduce((sum, width) => sum + width) - GAP.length - columns;
    const spare = [...this.#columns.keys()].filter((i) => this.#columns[i]!.spare !== undefined)
      .sort((a, b) => this.#columns[a]!.spare! - this.#columns[b]!.spare!);
    for (const i of spare) {
      if (wanting <= MOST_WANTING) return;
      this.#hidden.add(i);
      wanting -= narrow[i]!;
    }
  }

  #print({ cells, style }: Row): void {
    const { columns, color } = this.#options;
    const shown = [...cells.keys()].filter((i) => !this.#hidden.has(i));
    const padded = shown.map((i) => {
      const cell = cells[i]!;
      const width = this.#widths![i]!;
      const { right, tail } = this.#columns[i]!;
      const cut = tail ? cutFront : cutToWidth;
      const text = columns === undefined ? cell : cut(cell, width);
      const padding = " ".repeat(Math.max(0, width - displayWidth(text)));
      return right ? padding + text : text + padding;
    });
    const line = padded.join(GAP).trimEnd();
    const fitted = columns === undefined ? line : cutToWidth(line, columns);
    this.#addLine(color && style !== "" ? `\x1b[${style}m${fitted}\x1b[0m` : fitted);
  }
}
