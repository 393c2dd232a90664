/** One flag. Parser, help, and whatever else lists flags read this and nothing else. */
export interface FlagSpec {
  /** Long name, without the dashes. */
  readonly name: string;
  /** One letter, without the dash. */
  readonly short?: string;
  /** What the value is called in help; a flag without it is a switch. */
  readonly value?: string;
  /** It may be given more than once; the values are joined by commas. */
  readonly repeats?: true;
  /** The only values that are accepted. */
  readonly choices?: readonly string[];
  /** One line for `-h`. */
  readonly help: string;
  /** Sentences for `--help`, shown in place of `help`. */
  readonly details?: string;
}

/** What stands on the command line without a flag. */
export interface OperandSpec {
  readonly name: string;
  readonly required: boolean;
  /** The only values that are accepted. */
  readonly choices?: readonly string[];
}

/** A command line that works, and what it does. */
export interface Example {
  readonly line: string;
  readonly what: string;
}

/** The name of a command. */
export type CommandName = "capture" | "scan" | "filter" | "schema" | "completions" | "man";

/** One command. */
export interface CommandSpec {
  readonly name: CommandName;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Paragraphs for `--help`. */
  readonly description: readonly string[];
  readonly operand?: OperandSpec;
  readonly examples: readonly Example[];
  readonly flags: readonly FlagSpec[];
}

const FORMAT: FlagSpec = {
  name: "format",
  value: "FORMAT",
  choices: ["ndjson", "json", "table"],
  help: "How records are written (default: table on a terminal, else ndjson)",
  details:
    "How records are written: ndjson is one JSON object a line, json is one array, table is for " +
    "people. Without the flag it is table on a terminal and ndjson everywhere else.",
};

const DETAIL: FlagSpec = {
  name: "detail",
  help: "In a table, show each ring in full",
  details: "In a table, show each ring as a block of lines: its owners, its requests with their " +
    "results, what is registered with it, and what was found.",
};

const OUTPUT: FlagSpec = {
  name: "output",
  short: "o",
  value: "FILE",
  help: "Write records to FILE, which must not exist yet",
  details:
    "Write records to FILE instead of standard output. A file that exists is refused, so that " +
    "evidence is never overwritten; --append adds to it.",
};

const APPEND: FlagSpec = {
  name: "append",
  help: "With -o, add to the end of FILE",
  details: "With -o, add to the end of FILE, whether it exists or not. Not with --format json.",
};

const COLOR: FlagSpec = {
  name: "color",
  value: "WHEN",
  choices: ["auto", "always", "never"],
  help: "Colour in a table (default: auto)",
  details: "Colour in a table. auto, the default, colours on a terminal unless NO_COLOR is set.",
};

const CONFIG: FlagSpec = {
  name: "config",
  short: "c",
  value: "FILE",
  help: "YAML file that says which records pass, and how they are classified",
  details: "YAML file that says which records pass and how they are classified. Every mistake in " +
    "it is shown with its line and column. Without it everything passes, and the built-in rules " +
    "apply.",
};

const FAIL_ON: FlagSpec = {
  name: "fail-on",
  value: "SEVERITY",
  choices: ["info", "low", "medium", "high", "critical"],
  help: "Exit with 3 when a rule of this severity or above fires",
  details: "Exit with 3 when a rule of this severity or above fires on a record that passed.",
};

const VERBOSE: FlagSpec = {
  name: "verbose",
  short: "v",
  help: "Say more: the BPF loader's words, and which user root became",
};

/** Flags that every command has. */
export const COMMON_FLAGS: readonly FlagSpec[] = [
  { name: "help", short: "h", help: "Show help: -h in short, --help in full" },
];

/** Flags of the program itself, before a command. */
export const PROGRAM_FLAGS: readonly FlagSpec[] = [
  ...COMMON_FLAGS,
  { name: "version", short: "V", help: "Show the version and how this executable was made" },
  { name: "verify", help: "Also check every part of this executable by its SHA-256" },
  { name: "licenses", help: "Show the licenses of everything inside" },
];

/** What the program is, in one line. */
export const PROGRAM_SUMMARY = "Shows what a Linux host does through io_uring";

/** Every command, in the order in which help lists them. */
export const COMMANDS: readonly CommandSpec[] = [
  {
    name: "capture",
    summary: "Show what is submitted to io_uring on this host, as it happens",
    description: [
      "Writes one IOUringEvent record for each request that any process submits to io_uring: who, " +
      "what, with which arguments, and whether a seccomp filter was gone around. It starts with a " +
      "status record that says what this kernel lets it see, one IOUringEntry for each ring that " +
      "is open already, and ends with a status record of totals. What did not fit is counted and " +
      "said where it happened.",
      "It needs root, or CAP_BPF and CAP_PERFMON, and a kernel from 5.10 on with BTF. SIGINT, " +
      "SIGTERM and a hang-up end it in order; a reader that then takes nothing for 5 seconds does not keep it. " +
      "Once it is attached it becomes a user that nobody else is, without any capability.",
    ],
    examples: [
      { line: "iouring capture", what: "A table of what happens, on a terminal" },
      {
        line: "iouring capture --results | iouring filter --config web.yaml",
        what: "With results, the processes that web.yaml names",
      },
      {
        line: "iouring capture --opcode IORING_OP_CONNECT -d 60 -o out.ndjson",
        what: "Connections of one minute, to a new file",
      },
      { line: "iouring capture --check", what: "Whether this host can be captured on" },
    ],
    flags: [
      {
        name: "pid",
        short: "p",
        value: "PID",
        repeats: true,
        help: "Only this process; may be repeated",
        details: "Only the requests of this process, by the pid of its leader; may be repeated.",
      },
      {
        name: "opcode",
        value: "NAME",
        repeats: true,
        help: "Only this opcode or category; may be repeated",
        details:
          "Only requests with this opcode (IORING_OP_CONNECT, or connect) or of this category " +
          "(network, file, metadata, process, poll, timer, sync, ring, device, ipc, memory), or " +
          "with one that has no name (UNKNOWN); may be repeated.",
      },
      { name: "duration", short: "d", value: "SECONDS", help: "Stop after this time" },
      {
        name: "count",
        short: "n",
        value: "COUNT",
        help: "Stop after this many records of requests",
      },
      {
        name: "results",
        help: "Say how each request ended",
        details:
          "Say how each request ended, and which file an OPENAT opened. A record then waits up to a " +
          "second for its completion; one that comes later, and each completion of a multishot " +
          "request, is an IOUringResult.",
      },
      {
        name: "ring-buffer",
        value: "SIZE",
        help: "Room for records in the kernel (default: 16M)",
        details: "Room for records in the kernel, a power of two from 64K to 1G: 16M by default. " +
          "What does not fit is lost, and counted.",
      },
      {
        name: "btf",
        value: "FILE",
        help: "The kernel's types, for kernels that do not carry their own",
      },
      { name: "check", help: "Only say whether this host can be captured on" },
      CONFIG,
      FORMAT,
      OUTPUT,
      APPEND,
      COLOR,
      FAIL_ON,
      VERBOSE,
    ],
  },
  {
    name: "scan",
    summary: "List every io_uring context in a memory image",
    description: [
      "Finds the kernel inside a memory image and writes one IOUringEntry record for each " +
      "io_uring context in it: who owns it, what it is doing and has done, and whether that goes " +
      "around a seccomp filter. It needs no symbol file and no privilege. IMAGE is a raw image, " +
      "an ELF core, LiME, AVML, kdump, a .vmem of VMware or /proc/kcore, told by its content; - is " +
      "standard input, when that is a regular file.",
      "A kernel without BTF or usable kallsyms needs files to stand in for them: --btf and " +
      "--symbols, or --isf for both.",
      "An image may be hostile. Run as root, scan opens the image and what it writes to, and then, " +
      "before it reads, becomes a user that nobody else is and gives up every capability.",
    ],
    operand: { name: "IMAGE", required: true },
    examples: [
      { line: "iouring scan dump.raw", what: "A table of every ring, on a terminal" },
      {
        line: "iouring scan dump.raw | jq 'select(.bypasses_seccomp)'",
        what: "Only the rings that go around seccomp, as JSON",
      },
      {
        line: "iouring scan --config web.yaml -o rings.ndjson dump.raw",
        what: "The rings of some processes, to a new file",
      },
    ],
    flags: [
      CONFIG,
      FORMAT,
      OUTPUT,
      APPEND,
      COLOR,
      FAIL_ON,
      VERBOSE,
      DETAIL,
      {
        name: "deep",
        help: "Search all memory for rings and processes that no list leads to",
        details:
          "Search all memory for rings and processes that no list leads to: rings that were " +
          "closed or whose process has ended, and tasks taken off the kernel's lists. It takes a " +
          "few passes over the image. The queues of unix sockets are looked through, too, for " +
          "rings that were sent and wait to be received.",
      },
      {
        name: "slice",
        value: "OUT",
        help: "Also write the pages that were read to OUT, an ELF core",
        details:
          "Also write an ELF core to OUT that holds only the pages the scan read. Scanning it " +
          "gives the same entries, and it is small enough to share.",
      },
      {
        name: "btf",
        value: "FILE",
        help: "The kernel's types, for kernels that do not carry their own",
        details:
          "The kernel's types, for an image whose own cannot be used: /sys/kernel/btf/vmlinux " +
          "of the host, or a vmlinux with a .BTF section, such as distributions have in packages " +
          "of debugging files. A file of another kernel is refused.",
      },
      {
        name: "symbols",
        value: "FILE",
        help: "The kernel's symbols, for images whose own cannot be used",
        details:
          "The kernel's symbols, for an image whose own cannot be used: its System.map, or " +
          "/proc/kallsyms as root read it. A file of another kernel is refused.",
      },
      {
        name: "isf",
        value: "FILE",
        help: "The kernel's symbols and types in the format of Volatility 3",
        details: "The kernel's symbols and types in the format of Volatility 3 (ISF), which " +
          "dwarf2json makes: .json, .json.xz or .json.gz. A file of another kernel is refused.",
      },
    ],
  },
  {
    name: "filter",
    summary: "Pass on the records that a config selects, classified",
    description: [
      "Reads NDJSON records from FILE or standard input and writes those that the config selects, " +
      "unchanged byte for byte except for classification, which the rules decide anew. Status " +
      "records and records of unknown types always pass. A line that is not a record is reported " +
      "with its number and left out.",
      "A stream that starts but does not end was cut short: what came is written, and the exit " +
      "code is 1.",
    ],
    operand: { name: "FILE", required: false },
    examples: [
      {
        line: "iouring scan dump.raw | iouring filter --config web.yaml | jq .",
        what: "The rings of the processes that web.yaml names",
      },
      {
        line: "iouring filter --check --config web.yaml",
        what: "Only look for mistakes in web.yaml",
      },
      {
        line: "iouring filter --format table rings.ndjson",
        what: "Show saved records as a table",
      },
    ],
    flags: [
      CONFIG,
      {
        name: "check",
        help: "Only check the config, and read no records",
      },
      FORMAT,
      OUTPUT,
      APPEND,
      COLOR,
      FAIL_ON,
      DETAIL,
      {
        name: "strict",
        help: "End at the first line that is no record",
        details:
          "End with exit code 1 at the first line that is no record, rather than leave it out.",
      },
    ],
  },
  {
    name: "schema",
    summary: "Print the JSON Schema of the records or of the config",
    description: [
      "Prints the JSON Schema (draft 2020-12) of one record type, of the config, or, without WHAT, " +
      "of any record that a stream may hold.",
    ],
    operand: {
      name: "WHAT",
      required: false,
      choices: ["event", "result", "register", "entry", "status", "config"],
    },
    examples: [
      { line: "iouring schema entry | jq .properties", what: "What an IOUringEntry holds" },
      {
        line: "iouring schema config > iouring.schema.json",
        what: "For an editor that checks YAML",
      },
    ],
    flags: [],
  },
  {
    name: "completions",
    summary: "Print the completions of a shell",
    description: ["Prints what SHELL needs to complete iouring's command line."],
    operand: { name: "SHELL", required: true, choices: ["bash", "zsh", "fish"] },
    examples: [
      { line: 'eval "$(iouring completions bash)"', what: "For this bash" },
      {
        line: "iouring completions fish > ~/.config/fish/completions/iouring.fish",
        what: "For every fish",
      },
    ],
    flags: [],
  },
  {
    name: "man",
    summary: "Print the man page",
    description: ["Prints the man page, for man(1) to show."],
    examples: [{ line: "iouring man | man -l -", what: "Read it" }],
    flags: [],
  },
];

/** Every exit code and when it is given. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [
    0,
    "Done, also after SIGINT, SIGTERM or SIGHUP and when the reader of the output closed the pipe",
  ],
  [1, "Something failed, or an input stream came without its end record"],
  [2, "The command line or the config is wrong, or names symbols of another kernel"],
  [3, "With --fail-on: a rule of that severity or above fired"],
  [4, "This host cannot do it; the message says what is missing"],
];
