import { nearest } from "../config/nearest.ts";
import {
  type CommandName,
  COMMANDS,
  type CommandSpec,
  COMMON_FLAGS,
  type FlagSpec,
  PROGRAM_FLAGS,
} from "./flags.ts";
import { UsageError } from "./usage_error.ts";

/** What one command was asked to do. */
export interface CommandArgs {
  /** Flags that were given, by long name; a switch has the value "". */
  readonly flags: ReadonlyMap<string, string>;
  /** The one operand, where it was given. */
  readonly operand?: string;
}

/** A command line, understood. */
export type Request =
  | { readonly kind: "version"; readonly verify: boolean }
  | { readonly kind: "licenses" }
  | { readonly kind: "help"; readonly long: boolean; readonly command?: CommandSpec }
  | { readonly kind: "command"; readonly command: CommandName; readonly args: CommandArgs };

/**
 * Understands a command line by the flag table.
 *
 * @param argv The arguments after the program's own name.
 * @returns What is asked for. Help is asked for as soon as its flag is met.
 * @throws {UsageError} An unknown command or flag, a missing or wrong value, or too many operands.
 */
export function parse(argv: readonly string[]): Request {
  const [first, ...rest] = argv;
  if (first === undefined) throw new UsageError("No command given, see iouring --help");
  if (first.startsWith("-")) {
    const names = argv.map((arg) => splitFlag(arg, PROGRAM_FLAGS, "").flag.name);
    if (names.includes("help")) return { kind: "help", long: !argv.includes("-h") };
    if (names.includes("licenses")) return { kind: "licenses" };
    return { kind: "version", verify: names.includes("verify") };
  }
  const command = COMMANDS.find(({ name }) => name === first);
  if (command === undefined) {
    const near = nearest(first, COMMANDS.map(({ name }) => name));
    throw new UsageError(
      `Unknown command ${quote(first)}, ` +
        (near === undefined ? "see iouring --help" : `did you mean ${quote(near)}?`),
    );
  }
  return parseCommand(command, rest);
}

function parseCommand(command: CommandSpec, argv: readonly string[]): Request {
  const known = [...command.flags, ...COMMON_FLAGS];
  const flags = new Map<string, string>();
  const operands: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i]!;
    if (arg === "--") {
      operands.push(...argv.slice(i + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      operands.push(arg);
      continue;
    }
    const { flag, value } = splitFlag(arg, known, ` of ${command.name}`);
    if (flag.name === "help") return { kind: "help", long: arg !== "-h", command };
    const before = flags.get(flag.name);
    if (before !== undefined && flag.repeats !== true) {
      throw new UsageError(`Flag ${quote(`--${flag.name}`)} is given twice`);
    }
    if (flag.value === undefined) {
      flags.set(flag.name, "");
    } else if (value !== undefined) {
      flags.set(flag.name, checked(flag, value));
    } else {
      const next = argv[++i] ?? "";
      // A value that looks like a flag is a forgotten value; after a "=" it is meant.
      flags.set(flag.name, checked(flag, /^-./.test(next) ? "" : next));
    }
    if (before !== undefined) flags.set(flag.name, `${before},${flags.get(flag.name)}`);
  }
  const [operand, extra] = operands;
  if (operand !== undefined && command.operand === undefined) {
    throw new UsageError(`Unexpected argument ${quote(operand)}: ${command.name} takes none`);
  }
  if (extra !== undefined) {
    throw new UsageError(`Unexpected argument ${quote(extra)}: ${command.name} takes one`);
  }
  if (operand === undefined) {
    if (command.operand?.required) {
      throw new UsageError(`Missing ${command.operand.name}, see iouring ${command.name} -h`);
    }
    return { kind: "command", command: command.name, args: { flags } };
  }
  const choices = command.operand?.choices;
  if (choices !== undefined && !choices.includes(operand)) {
    throw new UsageError(
      notAChoice(`${command.operand?.name} of ${command.name}`, operand, choices),
    );
  }
  return { kind: "command", command: command.name, args: { flags, operand } };
}

/** The flag that `arg` names, and the value after its `=`. */
function splitFlag(
  arg: string,
  known: readonly FlagSpec[],
  where: string,
): { flag: FlagSpec; value?: string } {
  const equals = arg.startsWith("--") ? arg.indexOf("=") : -1;
  const name = equals < 0 ? arg : arg.slice(0, equals);
  const flag = known.find(({ name: long, short }) =>
    name === `--${long}` || short !== undefined && name === `-${short}`
  );
  if (flag === undefined) {
    const near = nearest(name, known.map((flag) => `--${flag.name}`));
    throw new UsageError(
      `Unknown flag ${quote(name)}${where}` +
        (near === undefined ? "" : `, did you mean ${quote(near)}?`),
    );
  }
  if (equals < 0) return { flag };
  if (flag.value === undefined) throw new UsageError(`Flag ${quote(name)} takes no value`);
  return { flag, value: arg.slice(equals + 1) };
}

/** The value of a flag, when it is one that the flag takes. */
function checked(flag: FlagSpec, value: string): string {
  const name = quote(`--${flag.name}`);
  if (value === "") {
    throw new UsageError(`Flag ${name} needs a value: ${flag.choices?.join(", ") ?? flag.value}`);
  }
  if (flag.choices !== undefined && !flag.choices.includes(value)) {
    throw new UsageError(notAChoice(`Flag ${name}`, value, flag.choices));
  }
  return value;
}

function notAChoice(what: string, value: string, choices: readonly string[]): string {
  const near = nearest(value, choices);
  return `${what} cannot be ${quote(value)}, ` +
    (near === undefined ? `it is one of ${choices.join(", ")}` : `did you mean ${quote(near)}?`);
}

function quote(text: string): string {
  return JSON.stringify(text);
}
