import { opcodeNumbers, type PathConfig } from "../config/event_filter.ts";
import {
  type ClassifierConfig,
  conditionScope,
  type Rule,
  type RuleCondition,
  severityRank,
} from "../config/rule.ts";
import { RULES } from "../config/rules.ts";
import {
  type Classification,
  type RuleHit,
  type Severity,
  type StreamRecord,
  UNKNOWN_ID,
} from "../record/records.ts";
import { FLAG_SEPARATOR } from "../uapi/flags.ts";
import { OPCODES } from "../uapi/opcodes.ts";
import { BoundedMap } from "./bounded_map.ts";
import {
  EARLIER,
  factsNeeded,
  hasOtherCredentials,
  MAX_FACTS,
  RECORD_FACTS,
  requestFacts,
  SECCOMP,
  STRANGER,
} from "./facts.ts";
import { arrayOf, type Fields, fieldsOf, MAX_ADDRESS, MAX_PATH } from "./fields.ts";
import { JUDGED } from "./filter.ts";
import type { Transform } from "./chain.ts";
import { hasHead, headsOf } from "./path_matcher.ts";
import { processFilter } from "./process_filter.ts";
import { pathFinder, requestConditions } from "./request_filter.ts";
import { type PathUse, possibleAccess, requestsOf, type RequestView } from "./request_view.ts";
import { RingMemory } from "./ring_memory.ts";

/** Rings whose creator is remembered, and processes that use one ring beside those that hold it. */
const MAX_RINGS = 16_384;
const MAX_STRANGERS = 64;
/** A ring that more processes hold is not remembered: who is strange to it cannot be told. */
const MAX_HOLDERS = 64;
const MAX_CLASSIFICATIONS = 256;
/**
 * ms for which a process must use a ring before it is said not to be the creator's: addresses are
 * used again, and that the record of the new ring was lost is said within this time.
 */
const SETTLED_MS = 1000;
/** Opcodes are one byte; the place after the last is for requests whose opcode is not known. */
const NO_OPCODE = 256;
const ALL_OPCODES = Array.from({ length: NO_OPCODE + 1 }, (_, number) => number);
/** Those that do something to a path. */
const ACCESSING = ALL_OPCODES.filter((number) => possibleAccess(number).length > 0);
/** The routes that find a ring through what a process holds beside descriptors. */
const HIDDEN_ROUTES: readonly string[] = ["tctx", "registered", "sqpoll", "vma", "unix"];

/** What is known of a ring since its record came. */
interface RingUse {
  /** Processes that hold it. */
  readonly holders: ReadonlySet<unknown>;
  /** Those, and their descendants that use it. */
  readonly family: Set<unknown>;
  /** The creator's executable. */
  readonly executable: string | undefined;
  /** When others used it first, ms since 1970. */
  readonly strangers: Map<unknown, number>;
}

/** One alternative of one rule. */
interface Alternative {
  readonly rule: number;
  /** What the record must be. */
  readonly ofRecord: readonly ((record: Fields) => boolean)[];
  /** First components that a path of the request must have one of; undefined where any may do. */
  readonly heads: ReadonlySet<string> | undefined;
  /** What a path of the request must be. */
  readonly path: PathConfig | undefined;
  /** What one request must be, cheapest first; the last may take note that it was asked. */
  readonly ofRequest: readonly ((request: RequestView, memory: RingMemory) => boolean)[];
  /** The facts without which it does not hold: see `facts.ts`. */
  readonly needs: number;
}

/**
 * Judges records by the named rules. A classification that is there already is replaced.
 *
 * The requests of a ring are judged in their order, one after another, as those of a live stream
 * are; what came before is remembered within bounds.
 */
export class Classifier {
  readonly transform: Transform = (record) => this.#transform(record);
  readonly #hits: readonly RuleHit[];
  /** At the index of an opcode: what its requests may be. */
  readonly #byOpcode: readonly Alternative[][] = Array.from({ length: NO_OPCODE + 1 }, () => []);
  /** The same by opcode and facts, and by paths, made when they are first met: most never are. */
  readonly #candidates = new Map<number, Candidates>();
  readonly #ofRegister: readonly Alternative[];
  readonly #ofRing: readonly Alternative[];
  /** By the facts of the record. */
  readonly #ofAny: readonly (readonly Alternative[])[];
  /** By the rules that fired. */
  readonly #classifications = new BoundedMap<number | string, Classification>(MAX_CLASSIFICATIONS);
  #conditions = 0;
  readonly #remembered = new Set<number>();
  readonly #memory = new RingMemory(this.#remembered);
  /** By the ring's address. */
  readonly #rings = new BoundedMap<string, RingUse>(MAX_RINGS);
  #ringsVersion = 0;
  #metStranger = false;
  #isRepeatable = false;

  constructor(config: ClassifierConfig) {
    const disabled = new Set(config.disable);
    const rules = [...RULES, ...config.rules ?? []].filter(({ id }) => !disabled.has(id));
    this.#hits = rules.map((rule) => ({
      id: rule.id,
      title: rule.title,
      severity: severityOf(rule, config),
      attack: [...rule.attack ?? []],
    }));
    const byScope = {
      register: [] as Alternative[],
      ring: [] as Alternative[],
      any: [] as Alternative[],
    };
    for (const [rule, { when }] of rules.entries()) {
      for (const condition of when) {
        const alternative = this.#compile(rule, condition);
        const scope = conditionScope(condition);
        if (scope === undefined) continue;
        if (scope !== "request") {
          byScope[scope].push(alternative);
          continue;
        }
        for (const opcode of opcodesOf(condition)) this.#byOpcode[opcode]!.push(alternative);
      }
    }
    this.#ofRegister = byScope.register;
    this.#ofRing = byScope.ring;
    this.#ofAny = Array.from({ length: RECORD_FACTS }, (_, facts) => having(byScope.any, facts));
  }

  /** The verdict on a record, undefined where no rule fires. */
  classify(record: StreamRecord): Classification | undefined {
    const fields = record as object as Fields;
    const found: number[] = [];
    let facts = hasSeccomp(fields) === true ? SECCOMP : 0;
    if (record.type === "IOUringEntry" || !this.#rings.isEmpty) facts |= STRANGER;
    switch (record.type) {
      case "IOUringEntry":
        this.#noteRing(fields);
        this.#judgeRecord(fields, this.#ofRing, found);
        this.#judgeRequests(fields, facts, new RingMemory(this.#remembered), found);
        break;
      case "IOUringEvent":
      case "IOUringResult":
        this.#judgeRequests(fields, facts, this.#memory, found);
        break;
      case "IOUringRegister":
        this.#judgeRecord(fields, this.#ofRegister, found);
        break;
      default:
        return undefined;
    }
    this.#judgeRecord(fields, this.#ofAny[facts]!, found);
    return found.length === 0 ? undefined : this.#classification(found);
  }

  #transform(record: StreamRecord): StreamRecord {
    if (record.type === "IOUringStatus") {
      // A new stream, or one that lacks something: what was known of its rings may be wrong now.
      if (record.phase === "start") this.#memory.clear();
      if (record.phase !== "end") {
        this.#rings.clear();
        this.#ringsVersion++;
      }
      return record;
    }
    if (!JUDGED.has(record.type)) return record;
    const { version } = this;
    this.#metStranger = this.#memory.hasCounted = false;
    const classification = this.classify(record);
    this.#isRepeatable = version === this.version && !this.#metStranger &&
      !this.#memory.hasCounted;
    if (classification !== undefined) return { ...record, classification };
    if (record.classification === undefined) return record;
    const { classification: _, ...rest } = record;
    return rest as StreamRecord;
  }

  #noteRing(entry: Fields): void {
    this.#ringsVersion++;
    const { ctx_addr: address } = entry;
    if (typeof address !== "string" || address.length > MAX_ADDRESS) return;
    const holders = holdersOf(entry);
    const { binary_path: path } = fieldsOf(entry.process);
    const executable = typeof path === "string" ? path : undefined;
    if (holders.size > MAX_HOLDERS || (executable?.length ?? 0) > MAX_PATH) {
      return this.#rings.delete(address);
    }
    this.#rings.set(address, {
      holders,
      family: new Set(holders),
      executable,
      strangers: new Map(),
    });
  }

  #judgeRecord(record: Fields, alternatives: readonly Alternative[], found: number[]): void {
    for (const { rule, ofRecord } of alternatives) {
      if (!found.includes(rule) && isAll(ofRecord, record)) found.push(rule);
    }
  }

  #judgeRequests(record: Fields, facts: number, memory: RingMemory, found: number[]): void {
    // A completion is not another request.
    const isNew = record.type !== "IOUringResult";
    for (const request of requestsOf(record)) {
      const earlier = memory.isEmpty ? 0 : EARLIER;
      const candidates = this.#candidatesOf(
        request.opcode ?? NO_OPCODE,
        facts | earlier | requestFacts(request),
      );
      for (const { rule, ofRecord, ofRequest } of candidates.of(request)) {
        if (found.includes(rule) || !isAll(ofRecord, record)) continue;
        if (isAllOfRequest(ofRequest, request, memory)) found.push(rule);
      }
      if (isNew) memory.note(request);
    }
  }

  #candidatesOf(opcode: number, facts: number): Candidates {
    // A stream may name opcodes that are no whole numbers.
    const alternatives = this.#byOpcode[opcode];
    if (alternatives === undefined) return NO_CANDIDATES;
    const key = opcode * MAX_FACTS + facts;
    let candidates = this.#candidates.get(key);
    if (candidates === undefined) {
      candidates = new Candidates(having(alternatives, facts));
      this.#candidates.set(key, candidates);
    }
    return candidates;
  }

  /** The same object for the same rules: there are few combinations, and many records. */
  #classification(found: readonly number[]): Classification {
    const key = found.length === 1 ? found[0]! : found.join();
    let classification = this.#classifications.get(key);
    if (classification === undefined) {
      const rules = found.map((rule) => this.#hits[rule]!)
        .sort((a, b) => severityRank(b.severity) - severityRank(a.severity));
      const { severity } = rules[0]!;
      const suspicious = severityRank(severity) >= severityRank("medium");
      classification = { suspicious, severity, rules };
      this.#classifications.set(key, classification);
    }
    return classification;
  }

  #compile(rule: number, condition: RuleCondition): Alternative {
    const ofRecord: ((record: Fields) => boolean)[] = [];
    const ofRequest: ((request: RequestView, memory: RingMemory) => boolean)[] = [];
    const { seccomp, process, foreign, inherited, operation, setup_flags, without_fd } = condition;
    if (seccomp !== undefined) ofRecord.push((record) => hasSeccomp(record) === seccomp);
    if (operation !== undefined) {
      const operations = new Set<unknown>(operation);
      ofRecord.push((record) => operations.has(record.operation));
    }
    if (setup_flags !== undefined) {
      ofRecord.push((record) =>
        arrayOf(record.setup_flags).some((flag) => setup_flags.includes(String(flag)))
      );
    }
    if (without_fd !== undefined) ofRecord.push((record) => isWithoutFd(record) === without_fd);
    if (foreign !== undefined) {
      ofRecord.push((record) => (this.#strangerOf(record) === "foreign") === foreign);
    }
    if (inherited !== undefined) {
      ofRecord.push((record) => (this.#strangerOf(record) === "inherited") === inherited);
    }
    if (process !== undefined) {
      const judge = processFilter(process);
      ofRecord.push((record) => judge(record) === "pass");
    }

    const { rejected, errno, other_credentials, sqe_flags, target, op_info, after, names_peer } =
      condition;
    if (rejected !== undefined) {
      ofRequest.push(({ request }) => (fieldsOf(request.io_uring).rejected === true) === rejected);
    }
    if (errno !== undefined && errno.length > 0) {
      ofRequest.push(({ request }) => errno.includes(String(fieldsOf(request.result).errno)));
    }
    if (other_credentials !== undefined) {
      ofRequest.push((request) => hasOtherCredentials(request.request) === other_credentials);
    }
    if (sqe_flags !== undefined) {
      ofRequest.push(({ request }) =>
        arrayOf(request.sqe_flags ?? fieldsOf(request.io_uring).sqe_flags)
          .some((flag) => sqe_flags.includes(String(flag)))
      );
    }
    if (target !== undefined) ofRequest.push((request) => request.isOn(target));
    if (names_peer !== undefined) {
      ofRequest.push(({ info }) => (info.addr !== undefined) === names_peer);
    }
    for (const [key, values] of Object.entries(op_info ?? {})) {
      ofRequest.push(({ info }) => hasValue(info[key], values));
    }
    for (const holds of requestConditions({ ...condition, opcode: [] }, condition)) {
      ofRequest.push((request) => holds(request) === true);
    }
    if (after !== undefined) {
      const opcodes = opcodeNumbers(after);
      for (const opcode of opcodes) this.#remembered.add(opcode);
      ofRequest.push((request, memory) => memory.hasDone(request, opcodes));
    }
    const counts = countCondition(condition, this.#conditions++);
    if (counts !== undefined) ofRequest.push(counts);
    return {
      rule,
      ofRecord,
      heads: headsOf(condition.path),
      path: condition.path,
      ofRequest,
      needs: factsNeeded(condition),
    };
  }

  /** Who uses or holds the record's ring beside its creator. */
  #strangerOf(record: Fields): "foreign" | "inherited" | undefined {
    if (record.type === "IOUringEntry") return strangerOfEntry(record);
    if (this.#rings.isEmpty) return undefined;
    const { pid, ppid, binary_path } = fieldsOf(record.process);
    const ring = this.#ringOfOthers(fieldsOf(record.io_uring).ctx, pid);
    if (ring === undefined) return undefined;
    this.#metStranger = true;
    if (ring.family.has(ppid) && binary_path === ring.executable) {
      if (ring.family.size < MAX_STRANGERS) ring.family.add(pid);
      return "inherited";
    }
    const now = Date.parse(String(record.timestamp));
    const since = ring.strangers.get(pid);
    if (since === undefined && ring.strangers.size < MAX_STRANGERS) ring.strangers.set(pid, now);
    return since !== undefined && now - since > SETTLED_MS ? "foreign" : undefined;
  }

  /** The ring at an address, if it is known that others hold it and the process does not. */
  #ringOfOthers(address: unknown, pid: unknown): RingUse | undefined {
    const ring = typeof address === "string" ? this.#rings.get(address) : undefined;
    const isOfOthers = ring !== undefined && ring.holders.size > 0 && isPid(pid) &&
      !ring.holders.has(pid);
    return isOfOthers ? ring : undefined;
  }

  /**
   * The opcodes whose requests may be quiet, see {@linkcode UnreadEvents}: no rule asks for more than
   * their paths, which have to be such as these.
   */
  quietOpcodes(): Map<number, Set<PathConfig>> {
    const opcodes = new Map<number, Set<PathConfig>>();
    if (this.#ofAny[0]!.length > 0) return opcodes;
    for (const { number, category } of OPCODES) {
      const asked = having(this.#byOpcode[number]!, 0);
      const isTold = category === "network" || this.#remembered.has(number) ||
        asked.some(({ heads }) => heads === undefined);
      if (!isTold) opcodes.set(number, new Set(asked.map(({ path }) => path!)));
    }
    return opcodes;
  }

  /** Changes with all that verdicts depend on beside the record, but for time. */
  get version(): number {
    return this.#memory.version + this.#ringsVersion;
  }

  /** Whether the last verdict is that of any such record, until `version` changes. */
  get isRepeatable(): boolean {
    return this.#isRepeatable;
  }

  get knowsRings(): boolean {
    return !this.#rings.isEmpty;
  }

  /** Changes with what is known of rings. */
  get ringsVersion(): number {
    return this.#ringsVersion;
  }

  /** Whether a process that is not known to hold a ring uses it. */
  isStranger(pid: number, address: string): boolean {
    return this.#ringOfOthers(address, pid) !== undefined;
  }

  /** Whether anything is remembered of a descriptor. */
  remembers(pid: number, fd: number): boolean {
    return this.#memory.remembers(pid, fd);
  }

  /** Whether a name that is used may stop to count. */
  get remembersNames(): boolean {
    return this.#memory.countsLookups;
  }
}

/** What requests of one opcode may be, by their paths: most have none that a rule asks for. */
class Candidates {
  readonly #all: readonly Alternative[];
  /** Those that ask for no path, or for one that may begin in many ways. */
  readonly #ofAnyPath: readonly Alternative[];
  /** The same and those that ask for paths with this first component. */
  readonly #byHead = new Map<string, readonly Alternative[]>();

  constructor(alternatives: readonly Alternative[]) {
    this.#all = alternatives;
    this.#ofAnyPath = alternatives.filter(({ heads }) => heads === undefined);
    for (const head of new Set(alternatives.flatMap(({ heads }) => [...heads ?? []]))) {
      this.#byHead.set(head, alternatives.filter(({ heads }) => heads?.has(head) ?? true));
    }
  }

  /** What a request may be, in the order of the rules. */
  of({ paths }: RequestView): readonly Alternative[] {
    if (paths.length === 0) return this.#ofAnyPath;
    const [{ heads: [head, other] }] = paths as readonly [PathUse];
    if (paths.length === 1 && other === undefined) {
      return this.#byHead.get(head!) ?? this.#ofAnyPath;
    }
    return this.#all.filter(({ heads }) =>
      heads === undefined || paths.some((path) => hasHead(path, heads))
    );
  }
}

/** Alternatives that may hold with these facts. */
function having(alternatives: readonly Alternative[], facts: number): Alternative[] {
  return alternatives.filter(({ needs }) => (needs & ~facts) === 0);
}

const NO_CANDIDATES = new Candidates([]);

/** A loop, as a closure for every request would cost more than what it asks. */
function isAll(conditions: Alternative["ofRecord"], record: Fields): boolean {
  for (const holds of conditions) {
    if (!holds(record)) return false;
  }
  return true;
}

function isAllOfRequest(
  conditions: Alternative["ofRequest"],
  request: RequestView,
  memory: RingMemory,
): boolean {
  for (const holds of conditions) {
    if (!holds(request, memory)) return false;
  }
  return true;
}

function severityOf({ id, severity }: Rule, config: ClassifierConfig): Severity {
  return config.severity?.[id] ?? severity;
}

/** The opcodes whose requests can fulfil a condition, and {@linkcode NO_OPCODE}. */
function opcodesOf({ opcode = [], access = [] }: RuleCondition): readonly number[] {
  const all = access.length === 0 ? ALL_OPCODES : ACCESSING;
  const numbers = opcode.length === 0 ? all : [...opcodeNumbers(opcode)];
  if (access.length === 0) return numbers;
  return numbers.filter((number) =>
    possibleAccess(number).some((possible) => access.includes(possible))
  );
}

/** Whether a value of `op_info` is one of these, or a flag of it is. */
function hasValue(value: unknown, wanted: readonly unknown[]): boolean {
  return wanted.includes(value) ||
    typeof value === "string" && value.split(FLAG_SEPARATOR).some((flag) => wanted.includes(flag));
}

/** Whether a seccomp filter judges the process; undefined where that is not known. */
function hasSeccomp(record: Fields): boolean | undefined {
  const { mode } = fieldsOf(record.seccomp);
  if (typeof mode === "number") return mode !== 0;
  const { seccomp_active: active, missing } = record;
  return typeof active === "boolean" && !arrayOf(missing).includes("seccomp_active")
    ? active
    : undefined;
}

function isWithoutFd(record: Fields): boolean {
  const routes = arrayOf(record.found_by);
  return !routes.includes("fd") && !routes.includes("create") &&
    routes.some((route) => HIDDEN_ROUTES.includes(String(route)));
}

/** The processes that hold a ring. */
function holdersOf(entry: Fields): ReadonlySet<unknown> {
  const pids = [entry.pid, ...arrayOf(entry.owners).map((owner) => fieldsOf(owner).pid)];
  return new Set(pids.filter(isPid));
}

/** Names are all that an entry tells of a ring's other holders. */
function strangerOfEntry(entry: Fields): "foreign" | "inherited" | undefined {
  const holders = holdersOf(entry);
  const { creator_pid: creator } = entry;
  const isGone = isPid(creator) && holders.size > 0 && !holders.has(creator);
  if (holders.size < 2 && !isGone) return undefined;
  const names = new Set(arrayOf(entry.owners).map((owner) => fieldsOf(owner).comm));
  return !isGone && names.size === 1 ? "inherited" : "foreign";
}

function isPid(pid: unknown): boolean {
  return typeof pid === "number" && pid !== 0 && pid !== UNKNOWN_ID;
}

/** What `times` and `distinct_paths` ask; it counts the requests that come to it. */
function countCondition(condition: RuleCondition, index: number) {
  const { times, distinct_paths, lookups_only = false } = condition;
  if (times !== undefined) {
    return (request: RequestView, memory: RingMemory) =>
      memory.reaches(request, index, { least: times });
  }
  if (distinct_paths === undefined) return undefined;
  const find = pathFinder(condition.path, condition);
  return (request: RequestView, memory: RingMemory) => {
    const path = (find === undefined ? request.paths[0] : find(request))?.forms.at(-1);
    if (path === undefined || path.length > MAX_PATH) return false;
    const slash = path.lastIndexOf("/");
    return memory.reaches(request, index, {
      least: distinct_paths,
      lookupsOnly: lookups_only,
      group: path.slice(0, slash),
      // One buffer may have held one name after another.
      ...(request.isOutdated("path") ? {} : { name: path.slice(slash + 1) }),
    });
  };
}
