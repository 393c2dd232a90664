import { displayWidth } from "../record/display_width.ts";
import { printable } from "../record/printable.ts";

/** Problems shown before the rest is only counted. */
const SHOWN = 100;
/** Characters of a source line shown before and after the place. */
const BEFORE = 60;
const AFTER = 40;

/** Something wrong or worth a warning at one place of a config. */
export interface Problem {
  /** Sentence case, no full stop. */
  readonly message: string;
  /** From 1. */
  readonly line: number;
  /** Characters from the start of the line, from 1. */
  readonly column: number;
}

/** A config that cannot be used; exit code 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * The error that says every problem with file, line, column and a caret.
 *
 * @param name The file as the user gave it.
 * @param problems At least one.
 * @param source The text of the file.
 */
export function configError(
  name: string,
  problems: readonly Problem[],
  source: string,
): ConfigError {
  const lines = source.split("\n");
  const count = problems.length === 1 ? "1 error" : `${problems.length} errors`;
  const shown = problems.slice(0, SHOWN).map((problem) => showProblem(name, problem, lines));
  if (problems.length > SHOWN) shown.push(`and ${problems.length - SHOWN} more`);
  return new ConfigError(
    `Cannot use config ${JSON.stringify(name)}: ${count}\n${shown.join("\n")}`,
  );
}

/** `f.yaml:3:5: Unknown key "euuid"`, the line, and a caret under the place. */
function showProblem(name: string, problem: Problem, lines: readonly string[]): string {
  const place = `${name}:${problem.line}:${problem.column}: ${problem.message}`;
  const line = lines[problem.line - 1] ?? "";
  if (line.trim() === "") return place;
  const at = problem.column - 1;
  const from = Math.max(0, at - BEFORE);
  const before = (from > 0 ? "…" : "") + printable(line.slice(from, at));
  const after = printable(line.slice(at, at + AFTER).trimEnd()) +
    (line.length > at + AFTER ? "…" : "");
  return `${place}\n  ${before}${after}\n  ${" ".repeat(displayWidth(before))}^`;
}
