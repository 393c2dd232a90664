import {
  type EventFilterConfig,
  opcodeNumbers,
  parsePortRange,
  type PortRange,
} from "../config/event_filter.ts";
import type { Access, PathOwner } from "../config/rule.ts";
import { type IpRange, isInRange, parseIpRange } from "../uapi/ip_address.ts";
import { fieldsOf } from "./fields.ts";
import { PathMatcher } from "./path_matcher.ts";
import type { PathUse, Peer, RequestView } from "./request_view.ts";

/** True, false, or undefined where what it needs could not be read. */
export type RequestCondition = (request: RequestView) => boolean | undefined;

/** What a path must be beside its text. */
export interface PathDemands {
  readonly access?: readonly Access[];
  readonly path_of?: PathOwner;
}

const OTHER_PROCESS = /^\/proc\/(\d+)(?:\/|$)/;

/** The conditions that `opcode`, `path`, `address` and `port` of a config make; all must hold. */
export function requestConditions(
  config: EventFilterConfig,
  demands: PathDemands = {},
): RequestCondition[] {
  const conditions: RequestCondition[] = [];
  const { opcode, path } = config;
  if (opcode !== undefined && opcode.length > 0) {
    const numbers = opcodeNumbers(opcode);
    conditions.push((request) => request.opcode !== undefined && numbers.has(request.opcode));
  }
  const findPath = pathFinder(path, demands);
  if (findPath !== undefined) {
    conditions.push((request) =>
      findPath(request) !== undefined ||
      (request.isUnread("path", "old_path", "new_path") ? undefined : false)
    );
  }
  const peer = peerCondition(config);
  if (peer !== undefined) {
    conditions.push((request) =>
      request.peers.some(peer) || (request.isUnread("addr", "port") ? undefined : false)
    );
  }
  return conditions;
}

/** Finds the path of a request that is as it must be; undefined where nothing is demanded. */
export function pathFinder(
  path: EventFilterConfig["path"],
  { access, path_of: owner }: PathDemands = {},
): ((request: RequestView) => PathUse | undefined) | undefined {
  const matcher = PathMatcher.isCondition(path) ? new PathMatcher(path) : undefined;
  const wanted = access === undefined || access.length === 0 ? undefined : new Set(access);
  if (matcher === undefined && wanted === undefined && owner === undefined) return undefined;
  return (request) =>
    request.paths.find((use) =>
      (wanted === undefined || use.access.some((access) => wanted.has(access))) &&
      (matcher === undefined || matcher.matches(use)) &&
      (owner === undefined || isOf(owner, use, request))
    );
}

function isOf(owner: PathOwner, { forms }: PathUse, { record }: RequestView): boolean {
  const { pid, tid, binary_path: executable } = fieldsOf(record.process);
  const path = forms.at(-1)!;
  if (owner === "own_executable") {
    return typeof executable === "string" && executable !== "" &&
      merged(path) === merged(executable);
  }
  const other = OTHER_PROCESS.exec(path)?.[1];
  return other !== undefined && Number(other) !== pid && Number(other) !== tid;
}

/** A path in the tree where /bin and its like are links into /usr. */
function merged(path: string): string {
  return path.replace(/^(?=\/(?:s?bin|lib)\/)/, "/usr");
}

function peerCondition(
  { address, port }: EventFilterConfig,
): ((peer: Peer) => boolean) | undefined {
  const addresses = (address ?? []).map((text) => {
    const range = parseIpRange(text);
    if (typeof range === "string") throw new SyntaxError(range);
    return range;
  });
  const ports = (port ?? []).map((text) => {
    const range = parsePortRange(text);
    if (typeof range === "string") throw new SyntaxError(range);
    return range;
  });
  if (addresses.length === 0 && ports.length === 0) return undefined;
  return (peer) =>
    (addresses.length === 0 || addresses.some((range) => hasAddress(peer, range))) &&
    (ports.length === 0 || ports.some((range) => hasPort(peer, range)));
}

function hasAddress({ address }: Peer, range: IpRange): boolean {
  return address !== undefined && isInRange(address, range);
}

function hasPort({ port }: Peer, { first, last }: PortRange): boolean {
  return port !== undefined && port >= first && port <= last;
}
