import { wrapToWidth } from "../record/display_width.ts";
import { printable, printableField } from "../record/printable.ts";
import type { StreamRecord } from "../record/records.ts";
import {
  cell,
  detailCell,
  opcodeCell,
  opsCell,
  resultCell,
  rulesCell,
  seccompCell,
} from "./cells.ts";
import { arrayOf, fieldsOf } from "./fields.ts";
import { isLoss, ringDetail } from "./ring_detail.ts";
import { LineBuffer, type Sink, type WriteBytes } from "./sink.ts";
import { type Column, Table, type TableOptions } from "./table.ts";
import { count } from "./tally.ts";

const RINGS: readonly Column[] = [
  { title: "PID", right: true, max: 10 },
  { title: "COMM", max: 16, min: 8 },
  { title: "CTX", max: 18, min: 9, tail: true, spare: 2 },
  { title: "OPS", flexible: true },
  { title: "SECCOMP", max: 8 },
  { title: "FOUND_BY", max: 16, min: 8, spare: 1 },
  { title: "RULES", max: 32, min: 14 },
];
const EVENTS: readonly Column[] = [
  { title: "TIME", max: 12, spare: 3 },
  { title: "PID", right: true, max: 10 },
  { title: "COMM", max: 16, min: 8 },
  { title: "UID", right: true, max: 10, spare: 1 },
  { title: "OPCODE", max: 16, min: 8 },
  { title: "DETAIL", flexible: true },
  { title: "RESULT", max: 12, spare: 2 },
  { title: "RULES", max: 32, min: 14 },
];
const RED = "31";
const YELLOW = "33";
const STYLES: Readonly<Record<string, string>> = {
  critical: `1;${RED}`,
  high: RED,
  medium: YELLOW,
};

/** How a {@linkcode TableSink} looks, and where it says what does not fit into rows. */
export interface TableSinkOptions extends TableOptions {
  /** Takes a line of text for the person, without newline. */
  readonly warn: (line: string) => void;
  /** A ring is a block of lines, not a row. */
  readonly detail?: boolean;
}

/**
 * Rows for people: one table for rings, one for events. What the stream says of itself goes to
 * `warn`; what single rings lack is only counted there. Text of other processes is made printable.
 */
export class TableSink implements Sink {
  readonly #lines: LineBuffer;
  readonly #rings: Table;
  readonly #events: Table;
  readonly #warn: (line: string) => void;
  readonly #options: TableSinkOptions;
  #lacking = 0;
  #otherRecords = 0;

  constructor(write: WriteBytes, options: TableSinkOptions) {
    this.#lines = new LineBuffer(write);
    const addLine = (line: string) => this.#lines.add(line);
    this.#rings = new Table(RINGS, options, addLine);
    this.#events = new Table(EVENTS, options, addLine);
    this.#warn = options.warn;
    this.#options = options;
  }

  write(record: StreamRecord): void {
    // By name: the stream may hold types that this program does not know.
    switch (record.type as string) {
      case "IOUringEntry":
        return this.#writeRing(record as object as Record<string, unknown>);
      case "IOUringEvent":
      case "IOUringResult":
      case "IOUringRegister":
        return this.#writeEvent(record as object as Record<string, unknown>);
      case "IOUringStatus":
        return this.#writeStatus(record as object as Record<string, unknown>);
      default:
        this.#otherRecords++;
    }
  }

  flush(): void {
    this.#rings.flush();
    this.#events.flush();
    this.#lines.flush();
  }

  finish(): void {
    this.flush();
    if (this.#lacking > 0) {
      this.#warn(
        `warning: Something of ${count(this.#lacking, "ring")} could not be read, ` +
          "the records' diagnostics say what",
      );
    }
    if (this.#otherRecords > 0) {
      this.#warn(`warning: ${count(this.#otherRecords, "record")} of other types not shown`);
    }
  }

  #writeRing(entry: Record<string, unknown>): void {
    if (arrayOf(entry.diagnostics).some(isLoss)) this.#lacking++;
    this.#events.flush();
    if (this.#options.detail === true) return this.#writeDetail(entry);
    this.#rings.add([
      entry.pid === 0 ? "-" : cell(entry.pid),
      printableField(entry, "comm"),
      cell(entry.ctx_addr),
      opsCell(entry),
      seccompCell(entry),
      arrayOf(entry.found_by).map(cell).join(","),
      rulesCell(entry),
    ], styleOf(entry));
  }

  #writeDetail(entry: Record<string, unknown>): void {
    const { columns, color } = this.#options;
    const style = styleOf(entry);
    for (const [i, whole] of ringDetail(entry).entries()) {
      const styled = color && i === 0 && style !== "";
      for (const line of columns === undefined ? [whole] : wrapToWidth(whole, columns)) {
        this.#lines.add(styled ? `\x1b[${style}m${line}\x1b[0m` : line);
      }
    }
  }

  #writeEvent(event: Record<string, unknown>): void {
    this.#rings.flush();
    const process = fieldsOf(event.process);
    this.#events.add([
      cell(event.timestamp).slice(11, 23),
      cell(process.pid),
      printableField(process, "comm" in process ? "comm" : "filename"),
      arrayOf(event.missing).includes("process.uid") ? "?" : cell(process.uid),
      opcodeCell(event),
      detailCell(event),
      resultCell(fieldsOf(event.result)),
      rulesCell(event),
    ], styleOf(event));
  }

  #writeStatus(status: Record<string, unknown>): void {
    for (const diagnostic of arrayOf(status.diagnostics)) {
      this.#warn(`warning: ${diagnosticText(diagnostic)}`);
    }
    if (status.phase === "lost") {
      const { count: lost, reason } = fieldsOf(status.lost);
      this.#warn(`warning: ${cell(lost)} events lost: ${cell(reason)}`);
    }
    if (status.phase === "end" && status.complete === false) {
      this.#warn("warning: The source could not read everything");
    }
  }
}

function diagnosticText(diagnostic: unknown): string {
  const { message, hides } = fieldsOf(diagnostic);
  return typeof hides === "string" ? `${cell(message)} (hides ${printable(hides)})` : cell(message);
}

function styleOf(record: Record<string, unknown>): string {
  const { severity } = fieldsOf(record.classification);
  const style = typeof severity === "string" ? STYLES[severity] ?? "" : "";
  return style === "" && record.bypasses_seccomp === true ? RED : style;
}
