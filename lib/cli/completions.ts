import { COMMANDS, type CommandSpec, COMMON_FLAGS, type FlagSpec, PROGRAM_FLAGS } from "./flags.ts";

/** What a shell needs to complete the command line: `bash`, `zsh` or `fish`. */
export function completions(shell: string): string {
  return (shell === "bash" ? bash() : shell === "zsh" ? zsh() : fish()).join("\n") + "\n";
}

/** The flags of a command, or those of the program. */
function flagsOf(command: CommandSpec): readonly FlagSpec[] {
  return [...command.flags, ...COMMON_FLAGS];
}

function words({ name, short }: FlagSpec): string[] {
  return [...(short === undefined ? [] : [`-${short}`]), `--${name}`];
}

/** Whether what the flag or operand takes is a file. */
function takesFile({ value, name }: { value?: string; name: string }): boolean {
  return ["FILE", "OUT", "IMAGE"].includes(value ?? name);
}

function bash(): string[] {
  const programWords = [...COMMANDS.map(({ name }) => name), ...PROGRAM_FLAGS.flatMap(words)];
  return [
    "# bash completion of iouring",
    "_iouring() {",
    '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD - 1]}"',
    '  local words="" files=""',
    "  # The shell takes --flag=value for three words.",
    "  if [[ $current == = ]]; then",
    '    current=""',
    "  elif [[ $previous == = ]]; then",
    '    previous="${COMP_WORDS[COMP_CWORD - 2]}"',
    "  fi",
    "  if ((COMP_CWORD == 1)); then",
    `    words="${programWords.join(" ")}"`,
    "  else",
    '    case "${COMP_WORDS[1]} $previous" in',
    ...COMMANDS.flatMap((command) => command.flags.flatMap((flag) => bashValue(command, flag))),
    "      *)",
    '        case "${COMP_WORDS[1]}" in',
    ...COMMANDS.map((command) => {
      const { operand } = command;
      const all = [...flagsOf(command).flatMap(words), ...operand?.choices ?? []];
      const files = operand !== undefined && takesFile(operand) ? " files=1" : "";
      return `          ${command.name}) words="${all.join(" ")}"${files} ;;`;
    }),
    "        esac",
    '        [[ $current == -* ]] && files=""',
    "        ;;",
    "    esac",
    "  fi",
    "  local IFS=$' \\t\\n'",
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    "  IFS=$'\\n'",
    "  if [[ -n $files ]]; then",
    "    compopt -o filenames",
    '    COMPREPLY+=($(compgen -f -- "$current"))',
    "  fi",
    "}",
    "complete -F _iouring iouring",
  ];
}

function bashValue(command: CommandSpec, flag: FlagSpec): string[] {
  if (flag.value === undefined) return [];
  const patterns = words(flag).map((word) => `"${command.name} ${word}"`).join(" | ");
  const action = flag.choices !== undefined
    ? `words="${flag.choices.join(" ")}"`
    : takesFile(flag)
    ? "files=1"
    : ":";
  return [`      ${patterns}) ${action} ;;`];
}

function zsh(): string[] {
  return [
    "#compdef iouring",
    "_iouring() {",
    "  if ((CURRENT == 2)); then",
    "    local -a commands=(",
    ...COMMANDS.map(({ name, summary }) => `      ${quoted(`${name}:${summary}`)}`),
    "    )",
    "    _describe command commands",
    `    compadd -- ${PROGRAM_FLAGS.flatMap(words).join(" ")}`,
    "    return",
    "  fi",
    "  local command=$words[2]",
    "  shift words",
    "  ((CURRENT--))",
    "  case $command in",
    ...COMMANDS.flatMap((command) => [
      `    ${command.name})`,
      "      _arguments -S \\",
      ...[...flagsOf(command).flatMap(zshFlag), ...zshOperand(command)]
        .map((line, i, all) => `        ${line}${i < all.length - 1 ? " \\" : ""}`),
      "      ;;",
    ]),
    "  esac",
    "}",
    "# Where the file lies in $fpath, it is read as the function when it is first called.",
    "if [[ $funcstack[1] == _iouring ]]; then",
    '  _iouring "$@"',
    "else",
    "  compdef _iouring iouring",
    "fi",
  ];
}

function zshFlag(flag: FlagSpec): string[] {
  const about = flag.help.replace(/[[\]:\\]/g, "\\$&");
  const all = words(flag);
  return all.map((word) => {
    const others = all.length > 1 ? `(${all.join(" ")})` : "";
    if (flag.value === undefined) return quoted(`${others}${word}[${about}]`);
    const form = word.startsWith("--") ? `${word}=` : word;
    return quoted(`${others}${form}[${about}]:${flag.value}:${zshAction(flag)}`);
  });
}

function zshOperand({ operand }: CommandSpec): string[] {
  if (operand === undefined) return [];
  return [quoted(`${operand.required ? "" : ":"}:${operand.name}:${zshAction(operand)}`)];
}

function zshAction(taken: { name: string; value?: string; choices?: readonly string[] }): string {
  if (taken.choices !== undefined) return `(${taken.choices.join(" ")})`;
  return takesFile(taken) ? "_files" : "";
}

function fish(): string[] {
  const first = "__fish_use_subcommand";
  return [
    "# fish completion of iouring",
    "complete -c iouring -f",
    ...COMMANDS.map(({ name, summary }) =>
      `complete -c iouring -n ${first} -a ${name} -d ${quoted(summary)}`
    ),
    ...PROGRAM_FLAGS.map((flag) => `complete -c iouring -n ${first} ${fishFlag(flag)}`),
    ...COMMANDS.flatMap((command) => {
      const when = `complete -c iouring -n '__fish_seen_subcommand_from ${command.name}'`;
      const { operand } = command;
      const lines = flagsOf(command).map((flag) => `${when} ${fishFlag(flag)}`);
      if (operand?.choices !== undefined) lines.push(`${when} -a '${operand.choices.join(" ")}'`);
      else if (operand !== undefined && takesFile(operand)) lines.push(`${when} -F`);
      return lines;
    }),
  ];
}

function fishFlag(flag: FlagSpec): string {
  const short = flag.short === undefined ? "" : `-s ${flag.short} `;
  const value = flag.value === undefined
    ? ""
    : flag.choices !== undefined
    ? ` -x -a '${flag.choices.join(" ")}'`
    : takesFile(flag)
    ? " -r -F"
    : " -x";
  return `${short}-l ${flag.name}${value} -d ${quoted(flag.help)}`;
}

/** Text in single quotes, for all three shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
