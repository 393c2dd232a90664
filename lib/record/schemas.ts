import type { JsonObject, JsonValue } from "../uapi/json_value.ts";

/** The JSON Schemas (draft 2020-12) of the record types. */

const STRING: JsonObject = { type: "string" };
const BOOLEAN: JsonObject = { type: "boolean" };
const INTEGER: JsonObject = { type: "integer" };
const COUNT: JsonObject = { type: "integer", minimum: 0 };
const STRINGS: JsonObject = { type: "array", items: STRING };
const OBJECT: JsonObject = { type: "object" };
const ID: JsonObject = { type: "integer", minimum: 0, maximum: 4294967295 };
const HEX: JsonObject = {
  type: "string",
  pattern: "^0x(0|[1-9a-f][0-9a-f]{0,15})$",
  description: "A 64-bit value, lower-case and unpadded",
};
const TIME: JsonObject = {
  type: "string",
  pattern: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$",
  description: "RFC 3339, UTC, ms",
};
const MAYBE_TIME: JsonObject = { anyOf: [TIME, { const: "" }] };
const SIZE: JsonObject = { anyOf: [COUNT, HEX] };
const PORT: JsonObject = { type: "integer", minimum: 0, maximum: 65535 };
const SEVERITY: JsonObject = { enum: ["info", "low", "medium", "high", "critical"] };
const OPCODE: JsonObject = { type: "string", pattern: "^(IORING_OP_[A-Z0-9_]+|UNKNOWN)$" };

/** An object whose keys are all known, those after `required` among them optional. */
function object(
  required: Readonly<Record<string, JsonObject>>,
  optional: Readonly<Record<string, JsonObject>> = {},
): JsonObject {
  return {
    type: "object",
    properties: { ...required, ...optional },
    required: Object.keys(required),
    patternProperties: { "_hex$": { type: "string", pattern: "^([0-9a-f]{2})*$" } },
    additionalProperties: false,
  };
}

function list(items: JsonObject): JsonObject {
  return { type: "array", items };
}

function ref(name: string): JsonObject {
  return { $ref: `#/$defs/${name}` };
}

const PROCESS = object({
  start_time: MAYBE_TIME,
  pid: ID,
  tid: ID,
  ppid: ID,
  uid: ID,
  euid: ID,
  auid: ID,
  cap_inheritable: STRING,
  cap_permitted: STRING,
  cap_effective: STRING,
  secureexec: STRING,
  filename: STRING,
  binary_path: STRING,
  args: STRING,
  container_id: STRING,
}, {
  binary_deleted: BOOLEAN,
  partial: BOOLEAN,
  gid: ID,
  egid: ID,
  comm: STRING,
  cgroup: STRING,
  exec_id: STRING,
  cwd: STRING,
  start_ns: HEX,
});

const TARGET: JsonObject = {
  type: "object",
  properties: {
    kind: STRING,
    path: STRING,
    family: STRING,
    local_addr: STRING,
    local_port: PORT,
    addr: STRING,
    port: PORT,
  },
  required: ["kind"],
};

/** Its keys depend on the opcode; those that several opcodes share have one form. */
const OP_INFO: JsonObject = {
  type: "object",
  properties: {
    path: STRING,
    old_path: STRING,
    new_path: STRING,
    access_flags: { enum: ["O_RDONLY", "O_WRONLY", "O_RDWR", ""] },
    creation_flags: STRING,
    dfd: { anyOf: [{ const: "AT_FDCWD" }, INTEGER] },
    dfd_path: STRING,
    old_dfd_path: STRING,
    new_dfd_path: STRING,
    mode: STRING,
    resolve: STRING,
    addr: STRING,
    port: PORT,
    family: STRING,
    fd: INTEGER,
    fixed_file: BOOLEAN,
    len: SIZE,
    flags: STRING,
    target: ref("target"),
    target_in: ref("target"),
  },
};

const RESULT = object({ res: INTEGER }, { errno: STRING, latency_ns: COUNT });
const SECCOMP = object({ mode: { enum: [0, 1, 2] }, filters: COUNT }, {
  denies: STRINGS,
  denies_some: STRINGS,
  allows_io_uring: BOOLEAN,
  bypassed_by: STRINGS,
});
const DIAGNOSTIC = object({ code: STRING, message: STRING }, { hides: STRING });

const CLASSIFICATION = object({
  suspicious: BOOLEAN,
  severity: SEVERITY,
  rules: list(object({ id: STRING, title: STRING, severity: SEVERITY, attack: STRINGS })),
});

const REQUEST = object({
  opcode: OPCODE,
  opcode_number: ID,
  user_data: HEX,
  source: list({ enum: ["sqe", "cqe", "kiocb"] }),
}, {
  fd: INTEGER,
  op_info: ref("op_info"),
  result: ref("result"),
  state: STRING,
  sqe_flags: STRINGS,
  personality: COUNT,
  results: list(INTEGER),
  more: BOOLEAN,
  joined_by_order: BOOLEAN,
});

const IO_URING = object({
  opcode_number: COUNT,
  ctx: HEX,
  user_data: HEX,
  fixed_file: BOOLEAN,
  sqe_flags: STRINGS,
  sq_thread: BOOLEAN,
  cpu: COUNT,
  seq: COUNT,
}, {
  fd: INTEGER,
  personality: COUNT,
  cred: object({ uid: ID, euid: ID }),
  rejected: BOOLEAN,
  recovered: BOOLEAN,
});

/** What every record of a process may have beside its own keys. */
const NOTES = { classification: ref("classification"), missing: STRINGS, unverified: STRINGS };

const EVENT_REQUIRED = { process: ref("process"), opcode: OPCODE, timestamp: MAYBE_TIME };
const EVENT_OPTIONAL = {
  op_info: ref("op_info"),
  io_uring: ref("io_uring"),
  seccomp: ref("seccomp"),
  result: ref("result"),
  ...NOTES,
};

/** What is registered with a ring, by slot; `more` are not described. */
const REGISTERED = object({ slots: COUNT }, {
  files: list(OBJECT),
  buffers: list(OBJECT),
  more: COUNT,
});

const ENTRY = object({
  type: { const: "IOUringEntry" },
  pid: ID,
  comm: STRING,
  ctx_addr: HEX,
  sq_entries: COUNT,
  cq_entries: COUNT,
  pending_opcodes: list({ type: "integer", minimum: 0, maximum: 255 }),
  bypasses_seccomp: BOOLEAN,
  seccomp_active: BOOLEAN,
}, {
  process: ref("process"),
  setup_flags: STRINGS,
  created_at: MAYBE_TIME,
  creator_uid: ID,
  creator_pid: ID,
  owners: list(object({ pid: ID, comm: STRING, fd: { type: "integer", minimum: -1 } })),
  found_by: list({
    enum: ["fd", "tctx", "registered", "sqpoll", "create", "vma", "unix", "carved"],
  }),
  confidence: { enum: ["certain", "high", "medium", "low"] },
  sq_head: ID,
  sq_tail: ID,
  cq_head: ID,
  cq_tail: ID,
  dropped: ID,
  overflow: ID,
  sq_thread: object({ pid: ID, tid: ID, cpu: INTEGER }, { serves: list(ID) }),
  pending: list(ref("request")),
  in_flight: list(ref("request")),
  history: list(ref("request")),
  seccomp: ref("seccomp"),
  registered_files: REGISTERED,
  registered_buffers: REGISTERED,
  personalities: list(object({
    id: COUNT,
    uid: ID,
    euid: ID,
    gid: ID,
    egid: ID,
    cap_effective: STRING,
  })),
  restrictions: object({}, {
    sqe_ops: STRINGS,
    sqe_flags_allowed: STRINGS,
    sqe_flags_required: STRINGS,
    register_ops: STRINGS,
  }),
  bpf_filters: STRINGS,
  diagnostics: list(ref("diagnostic")),
  ...NOTES,
});

const REGISTER = object({
  type: { const: "IOUringRegister" },
  process: ref("process"),
  operation: { type: "string", pattern: "^(IORING_[A-Z0-9_]+|UNKNOWN)$" },
  io_uring: object({ ctx: HEX }),
  count: INTEGER,
  result: ref("result"),
  timestamp: MAYBE_TIME,
}, NOTES);

const STATUS = object({
  type: { const: "IOUringStatus" },
  phase: { enum: ["start", "lost", "end"] },
  timestamp: TIME,
}, {
  host: object({}, { name: STRING, boot_id: STRING, kernel: STRING }),
  tool: object({ version: STRING, build: STRING }),
  argv: STRINGS,
  coverage: OBJECT,
  lost: object({ count: COUNT, reason: STRING }, { by_opcode: OBJECT, by_pid: OBJECT }),
  totals: { type: "object", additionalProperties: COUNT },
  complete: BOOLEAN,
  duration_ms: { type: "number", minimum: 0 },
  diagnostics: list(ref("diagnostic")),
});

const TYPES = {
  event: object({ type: { const: "IOUringEvent" }, ...EVENT_REQUIRED }, EVENT_OPTIONAL),
  result: object(
    { type: { const: "IOUringResult" }, ...EVENT_REQUIRED, result: ref("result") },
    { ...EVENT_OPTIONAL, more: BOOLEAN },
  ),
  register: REGISTER,
  entry: ENTRY,
  status: STATUS,
} as const;

/** What a record type is called where a schema is asked for. */
export type RecordSchemaName = keyof typeof TYPES;

/** Every name, in the order of the documentation. */
export const RECORD_SCHEMA_NAMES = Object.keys(TYPES) as RecordSchemaName[];

const DEFINITIONS: JsonObject = {
  classification: CLASSIFICATION,
  diagnostic: DIAGNOSTIC,
  io_uring: IO_URING,
  op_info: OP_INFO,
  process: PROCESS,
  request: REQUEST,
  result: RESULT,
  seccomp: SECCOMP,
  target: TARGET,
};

const DIALECT = "https://json-schema.org/draft/2020-12/schema";

/** The schema of one record type, or of any record that a stream may hold. */
export function recordSchema(name?: RecordSchemaName): JsonObject {
  if (name !== undefined) {
    const schema: JsonObject = TYPES[name];
    const title = ((schema.properties as JsonObject).type as JsonObject).const as JsonValue;
    return { $schema: DIALECT, title, ...schema, $defs: definitionsOf(schema) };
  }
  return {
    $schema: DIALECT,
    title: "A record of iouring",
    oneOf: RECORD_SCHEMA_NAMES.map((type) => ref(`record_${type}`)),
    $defs: {
      ...Object.fromEntries(RECORD_SCHEMA_NAMES.map((type) => [`record_${type}`, TYPES[type]])),
      ...DEFINITIONS,
    },
  };
}

/** The definitions that a schema refers to, those that they refer to among them. */
function definitionsOf(schema: JsonObject): JsonObject {
  const found = new Set<string>();
  const visit = (value: JsonValue) => {
    for (const [, name] of JSON.stringify(value).matchAll(/"#\/\$defs\/(\w+)"/g)) {
      if (found.has(name!)) continue;
      found.add(name!);
      visit(DEFINITIONS[name!]!);
    }
  };
  visit(schema);
  return Object.fromEntries(
    Object.entries(DEFINITIONS).filter(([name]) => found.has(name)),
  );
}
