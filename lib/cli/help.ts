import {
  COMMANDS,
  type CommandSpec,
  COMMON_FLAGS,
  type FlagSpec,
  PROGRAM_FLAGS,
  PROGRAM_SUMMARY,
} from "./flags.ts";

/** Which help, and how wide. */
export interface HelpOptions {
  /** The command; without it, the program. */
  readonly command?: CommandSpec;
  /** `--help` in place of `-h`: examples first, then every word. */
  readonly long: boolean;
  /** Columns to fill at most. */
  readonly columns: number;
}

/** The text of `-h` or `--help`, ending in a newline. */
export function help(options: HelpOptions): string {
  const { command, long } = options;
  const columns = Math.max(40, Math.min(options.columns, 100));
  const sections: string[] = [];
  const examples = command?.examples ?? COMMANDS.flatMap(({ examples }) => examples.slice(0, 1));
  if (long) {
    const lines = examples.map(({ what, line }) => `${wrap(`${what}:`, columns, 2)}\n    ${line}`);
    sections.push(section("Examples", lines));
  }
  sections.push(
    command === undefined
      ? wrap(`iouring: ${PROGRAM_SUMMARY}`, columns, 0)
      : wrap(`iouring ${command.name}: ${command.summary}`, columns, 0),
    `Usage: ${command === undefined ? "iouring COMMAND [FLAGS]" : usage(command)}`,
  );
  if (command === undefined) {
    sections.push(section("Commands", COMMANDS.map((it) => row(it.name, it.summary, columns))));
  } else if (long) {
    sections.push(...command.description.map((text) => wrap(text, columns, 0)));
  }
  const flags = command === undefined ? PROGRAM_FLAGS : [...command.flags, ...COMMON_FLAGS];
  sections.push(section("Flags", flags.map((flag) => flagHelp(flag, long, columns))));
  const more = `iouring ${command?.name ?? "COMMAND"} ${command === undefined ? "-h" : "--help"}`;
  if (command === undefined || !long) sections.push(`More: ${more}`);
  return sections.join("\n\n") + "\n";
}

/** A command line of the command: `iouring filter [FLAGS] [FILE]`. */
export function usage({ name, operand }: CommandSpec): string {
  const flags = `iouring ${name} [FLAGS]`;
  if (operand === undefined) return flags;
  const word = operand.choices?.join("|") ?? operand.name;
  return `${flags} ${operand.required ? word : `[${word}]`}`;
}

function section(title: string, lines: readonly string[]): string {
  return [`${title}:`, ...lines.map((line) => `  ${line}`)].join("\n");
}

function flagHelp(flag: FlagSpec, long: boolean, columns: number): string {
  const value = flag.choices?.join("|") ?? flag.value;
  const names = `${flag.short === undefined ? "    " : `-${flag.short}, `}--${flag.name}` +
    (value === undefined ? "" : ` ${long ? value : flag.value}`);
  return long
    ? `${names}\n${" ".repeat(10)}${wrap(flag.details ?? flag.help, columns, 10)}`
    : row(names, flag.help, columns);
}

/** A name and what it is, in two columns. */
function row(name: string, text: string, columns: number): string {
  const indent = 26;
  return `${name.padEnd(indent - 4)}  ${wrap(text, columns, indent)}`;
}

/** Text in lines of at most `columns`, every line but the first indented. */
function wrap(text: string, columns: number, indent: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines.join(`\n${" ".repeat(indent)}`);
}
