import type { Rule } from "../config/rule.ts";
import { RULES } from "../config/rules.ts";
import {
  COMMANDS,
  type CommandSpec,
  COMMON_FLAGS,
  EXIT_CODES,
  type FlagSpec,
  PROGRAM_FLAGS,
  PROGRAM_SUMMARY,
} from "./flags.ts";
import { usage } from "./help.ts";

/**
 * The man page, for man(1).
 *
 * @param version Version of iouring.
 */
export function manPage(version: string): string {
  return [
    `.TH IOURING 1 "" "iouring ${escape(version)}"`,
    ".SH NAME",
    `iouring \\- ${escape(PROGRAM_SUMMARY[0]!.toLowerCase() + PROGRAM_SUMMARY.slice(1))}`,
    ".SH SYNOPSIS",
    ...COMMANDS.flatMap((command) => [escape(usage(command)), ".br"]),
    ".SH DESCRIPTION",
    "io_uring runs file and network operations without the system calls that seccomp, ptrace, " +
    "auditd and most endpoint agents watch. iouring shows them, live and in a memory image, as one " +
    "JSON object a line.",
    ".SH OPTIONS",
    ...PROGRAM_FLAGS.flatMap(flagItem),
    ".SH COMMANDS",
    ...COMMANDS.flatMap(commandSection),
    ".SH RULES",
    "What a record is classified by. A config disables rules, gives them another severity, and adds " +
    "more in the same form.",
    ...RULES.flatMap(ruleItem),
    ".SH EXIT STATUS",
    ...EXIT_CODES.flatMap(([code, meaning]) => [".TP", String(code), escape(meaning)]),
  ].join("\n") + "\n";
}

function commandSection(command: CommandSpec): string[] {
  return [
    `.SS ${escape(usage(command))}`,
    ...command.description.flatMap((text) => [escape(text), ".PP"]),
    ...[...command.flags, ...COMMON_FLAGS].flatMap(flagItem),
    ...command.examples.flatMap(({ line, what }) => [
      ".PP",
      escape(`${what}:`),
      ".PP",
      ".nf",
      `.RS`,
      escape(line),
      ".RE",
      ".fi",
    ]),
  ];
}

function flagItem(flag: FlagSpec): string[] {
  const value = flag.choices?.join("|") ?? flag.value;
  const names = `${flag.short === undefined ? "" : `-${flag.short}, `}--${flag.name}` +
    (value === undefined ? "" : ` ${value}`);
  return [".TP", `.B ${escape(names)}`, escape(flag.details ?? flag.help)];
}

function ruleItem({ id, severity, title, attack, next }: Required<Rule>): string[] {
  return [
    ".TP",
    `.B ${escape(`${id} (${severity})`)}`,
    escape(`${title}. ATT&CK ${attack.join(", ")}. ${next}.`),
  ];
}

/** Text as roff takes it literally. */
function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^[.']/, "\\&$&");
}
