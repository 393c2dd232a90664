import type { JsonObject } from "../uapi/json_value.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  familyName,
  ipv4Text,
  ipv6Text,
  parseSockaddr,
} from "../uapi/socket_address.ts";
import { decodeText, putText } from "../uapi/text.ts";
import type { Wire } from "./wire.ts";

/** Names of a unix socket, `struct sockaddr_un` each. */
export interface UnixNames {
  readonly local: Uint8Array | undefined;
  readonly peer: Uint8Array | undefined;
}

/** An open socket as `op_info.target`. */
export function socketTarget(wire: Wire, info: Uint8Array, unix: UnixNames): JsonObject {
  const view = new DataView(info.buffer, info.byteOffset, info.byteLength);
  const family = view.getUint16(wire.at("socket_info.family"), true);
  const target: JsonObject = { kind: "socket", family: familyName(family) };
  if (family === AF_INET || family === AF_INET6) {
    target.local_addr = address(wire, info, { family, member: "local_addr" });
    target.local_port = view.getUint16(wire.at("socket_info.local_port"), true);
    const port = view.getUint16(wire.at("socket_info.port"), true);
    const peer = address(wire, info, { family, member: "addr" });
    // Without a peer both are zero.
    if (port !== 0 || !/^[0.:]*$/.test(peer)) {
      target.addr = peer;
      target.port = port;
    }
  } else if (family === AF_UNIX) {
    putUnix(target, "local_path", unix.local);
    putUnix(target, "path", unix.peer);
  }
  return target;
}

/** The other end of a socket, as `op_info` of the ACCEPT that made it. */
export function socketPeer(wire: Wire, info: Uint8Array, unix: UnixNames): JsonObject {
  const view = new DataView(info.buffer, info.byteOffset, info.byteLength);
  const family = view.getUint16(wire.at("socket_info.family"), true);
  const peer: JsonObject = {};
  if (family === AF_INET || family === AF_INET6) {
    peer.addr = address(wire, info, { family, member: "addr" });
    peer.port = view.getUint16(wire.at("socket_info.port"), true);
  } else if (family === AF_UNIX) {
    putUnix(peer, "path", unix.peer);
  }
  peer.family = familyName(family);
  return peer;
}

function address(
  wire: Wire,
  info: Uint8Array,
  what: { family: number; member: "local_addr" | "addr" },
): string {
  const at = wire.at(`socket_info.${what.member}`);
  const bytes = info.subarray(at, at + 16);
  return what.family === AF_INET ? ipv4Text(bytes) : ipv6Text(bytes);
}

/** A unix socket's name; abstract ones with a leading `@`, nothing for an unnamed socket. */
function putUnix(target: JsonObject, key: string, name: Uint8Array | undefined): void {
  const path = name === undefined ? undefined : parseSockaddr(name)?.path;
  if (path === undefined) return;
  if (path[0] !== 0) return putText(target, key, path);
  const { text, hex } = decodeText(path);
  target[key] = `@${text.slice(1)}`;
  if (hex !== undefined) target[`${key}_hex`] = hex;
}
