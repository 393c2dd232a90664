import type { Severity } from "../record/records.ts";
import { ERRNO_NAMES } from "../uapi/errno.ts";
import type { FlagTable } from "../uapi/flags.ts";
import { ADDRESS, OPCODE, opcodeNumbers, PATH, type PathConfig, PORT } from "./event_filter.ts";
import { OP_INFO_KEYS, opInfoKeys } from "../uapi/op_info_keys.ts";
import { REGISTER_OPS } from "../uapi/register_ops.ts";
import { SETUP_FLAGS, SQE_FLAGS } from "../uapi/ring_flags.ts";
import { PROCESS_FILTER, type ProcessFilterConfig } from "./process_filter.ts";
import {
  boolean,
  choice,
  dictionary,
  integer,
  integerOrText,
  list,
  mapping,
  oneOrMore,
  quote,
  text,
} from "./schema.ts";

/** Every severity, weakest first. */
export const SEVERITIES: readonly Severity[] = ["info", "low", "medium", "high", "critical"];

/** A severity's rank, 0 for info; -1 for anything else. */
export function severityRank(severity: unknown): number {
  return SEVERITIES.indexOf(severity as Severity);
}

/** What a request does to the file or path that it names. */
export type Access = "read" | "write" | "remove";

/** What a request works on; `unknown` where the record does not say. */
export type TargetKind = "file" | "socket" | "pipe" | "unknown";

/** Whose a path is. */
export type PathOwner = "own_executable" | "other_process";

/** What a record and one of its requests must be. All that is given must hold. */
export interface RuleCondition {
  /** Who: as the config's own `process_filter`. */
  readonly process?: ProcessFilterConfig;
  /** Whether a seccomp filter judges the process's system calls. */
  readonly seccomp?: boolean;
  readonly opcode?: readonly string[];
  readonly access?: readonly Access[];
  readonly path?: PathConfig;
  /** The path is the process's own executable, or lies in `/proc` under another process's id. */
  readonly path_of?: PathOwner;
  readonly address?: readonly string[];
  readonly port?: readonly (number | string)[];
  /** The request itself says to which address it sends: it needs no connection. */
  readonly names_peer?: boolean;
  readonly target?: readonly TargetKind[];
  /** Values of keys of `op_info`; of flags, one of them. */
  readonly op_info?: Readonly<Record<string, readonly (number | string)[]>>;
  /** At least one of these `IOSQE_*` flags is set. */
  readonly sqe_flags?: readonly string[];
  /** The request runs with credentials that are not its process's. */
  readonly other_credentials?: boolean;
  /** The kernel refused the request before it ran. */
  readonly rejected?: boolean;
  /** The request ended with one of these errors, where its result is known. */
  readonly errno?: readonly string[];
  /** The process has done one of these with the same descriptor before, or the program with the peer. */
  readonly after?: readonly string[];
  /** The ring has done this often what the rest of the condition says, within a second. */
  readonly times?: number;
  /**
   * As `times`, counting different names within one directory, in all processes of the program. A
   * name that was read from a process's memory long after its use may have been another then, so
   * each of those counts.
   */
  readonly distinct_paths?: number;
  /** Of `distinct_paths`: a name that the program also does something else with does not count. */
  readonly lookups_only?: boolean;
  /** The operation of an `IOUringRegister`. */
  readonly operation?: readonly string[];
  /** At least one of these `IORING_SETUP_*` flags of an `IOUringEntry` is set. */
  readonly setup_flags?: readonly string[];
  /** The ring has no file descriptor: `/proc/PID/fd` does not show it. */
  readonly without_fd?: boolean;
  /** The ring is used or held by a process that did not create it, and did not inherit it either. */
  readonly foreign?: boolean;
  /** The ring is used or held by a child of its creator that runs the same program. */
  readonly inherited?: boolean;
}

/** A named finding. */
export interface Rule {
  /** Lower-case words joined by dashes. */
  readonly id: string;
  readonly title: string;
  readonly severity: Severity;
  /** MITRE ATT&CK techniques: `T1070.004`. */
  readonly attack?: readonly string[];
  /** Where it was seen or is described. */
  readonly reference?: string;
  /** What the responder should do next. */
  readonly next?: string;
  /** Alternatives. */
  readonly when: readonly RuleCondition[];
}

/** The classifier's part of a config. */
export interface ClassifierConfig {
  /** Ids of rules that are not applied. */
  readonly disable?: readonly string[];
  /** Other severities, by rule id. */
  readonly severity?: Readonly<Record<string, Severity>>;
  /** The user's own rules. */
  readonly rules?: readonly Rule[];
}

const SEVERITY = choice("severity", SEVERITIES);
const SENTENCE = text({ maxBytes: 500 });

const ID = text({
  maxBytes: 64,
  check: (id) =>
    /^[a-z0-9]+(-[a-z0-9]+)*$/.test(id)
      ? undefined
      : `Rule id ${quote(id)} is not lower-case words joined by dashes`,
  schema: { pattern: "^[a-z0-9]+(-[a-z0-9]+)*$" },
});

const TECHNIQUE = text({
  maxBytes: 16,
  check: (id) =>
    /^TA?\d{4}(\.\d{3})?$/.test(id) ? undefined : `${quote(id)} is no ATT&CK id, such as T1070.004`,
  schema: { pattern: "^TA?\\d{4}(\\.\\d{3})?$" },
});

function flag(what: string, table: FlagTable) {
  return choice(what, table.map(([, name]) => name));
}

const COUNT = integer({ min: 2, max: 1000 });
const VALUE = integerOrText(
  integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }),
  text({ maxBytes: 4095 }),
);

const OP_INFO = mapping<Record<string, readonly (number | string)[]>>(
  Object.fromEntries(OP_INFO_KEYS.map((key) => [key, list(VALUE)])),
);

const CONDITION = mapping<RuleCondition>({
  process: PROCESS_FILTER,
  seccomp: boolean("A seccomp filter judges the process's system calls"),
  opcode: list(OPCODE),
  access: list(choice<Access>("access", ["read", "write", "remove"])),
  path: PATH,
  path_of: choice<PathOwner>("owner", ["own_executable", "other_process"]),
  address: list(ADDRESS),
  port: list(PORT),
  names_peer: boolean("The request itself says to which address it sends"),
  target: list(choice<TargetKind>("target", ["file", "socket", "pipe", "unknown"])),
  op_info: OP_INFO,
  sqe_flags: list(flag("SQE flag", SQE_FLAGS)),
  other_credentials: boolean("The request runs with credentials that are not its process's"),
  rejected: boolean("The kernel refused the request before it ran"),
  errno: list(choice("error", ERRNO_NAMES), "The request ended with one of these errors"),
  after: list(
    OPCODE,
    "The process has done this with the same descriptor before, or the program with the peer",
  ),
  times: COUNT,
  distinct_paths: COUNT,
  lookups_only: boolean("Names that the program also does something else with do not count"),
  operation: list(choice("operation", REGISTER_OPS)),
  setup_flags: list(flag("setup flag", SETUP_FLAGS)),
  without_fd: boolean("The ring has no file descriptor"),
  foreign: boolean("The ring is used or held by a process that did not create or inherit it"),
  inherited: boolean("The ring is used or held by a child of its creator, of the same program"),
}, { about: "All that is given must hold", check: conditionProblem });

/** Keys that ask about a record rather than about one of its requests. */
const OF_REGISTER: readonly (keyof RuleCondition)[] = ["operation"];
const OF_RING: readonly (keyof RuleCondition)[] = ["setup_flags", "without_fd"];
const OF_ANY: readonly (keyof RuleCondition)[] = ["process", "seccomp", "foreign", "inherited"];

/** What a condition looks at. */
export type ConditionScope = "request" | "register" | "ring" | "any";

/** What a condition looks at; undefined where its keys never go together. */
export function conditionScope(condition: RuleCondition): ConditionScope | undefined {
  const scopes = new Set<ConditionScope>();
  for (const key of Object.keys(condition) as (keyof RuleCondition)[]) {
    if (OF_ANY.includes(key)) continue;
    scopes.add(
      OF_REGISTER.includes(key) ? "register" : OF_RING.includes(key) ? "ring" : "request",
    );
  }
  const [scope = "any", other] = scopes;
  return other === undefined ? scope : undefined;
}

function conditionProblem(condition: RuleCondition): string | undefined {
  if (asksNothing(condition)) return "Condition is empty, which matches everything";
  if (conditionScope(condition) === undefined) {
    return "Condition never holds: operation is of a registration, setup_flags and without_fd are " +
      "of a ring, other keys of a request";
  }
  const opcodes = [...opcodeNumbers(condition.opcode ?? [])];
  const strange = Object.keys(condition.op_info ?? {}).find((key) =>
    opcodes.length > 0 && !opcodes.some((opcode) => opInfoKeys(opcode).includes(key))
  );
  if (strange !== undefined) {
    return `Condition never holds: no opcode that it lists has ${quote(strange)} in op_info`;
  }
  return undefined;
}

/** Whether a value is an empty list, or a mapping of nothing else. */
function asksNothing(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && value !== null && Object.values(value).every(asksNothing);
}

const RULE = mapping<Rule>({
  id: ID,
  title: SENTENCE,
  severity: SEVERITY,
  attack: list(TECHNIQUE, "MITRE ATT&CK ids"),
  reference: SENTENCE,
  next: SENTENCE,
  when: oneOrMore(CONDITION),
}, { required: ["id", "title", "severity", "when"] });

export const CLASSIFIER = mapping<ClassifierConfig>({
  disable: list(text({ maxBytes: 64 }), "Ids of rules that are not applied"),
  severity: dictionary(SEVERITY),
  rules: list(RULE, "Rules of your own, in the form of the built-in ones"),
}, { about: "Rules that mark what is suspicious" });
