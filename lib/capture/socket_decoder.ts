import { viewOf } from "../uapi/bytes.ts";
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
import { putUnixName } from "../uapi/text.ts";
import type { Section } from "./sections.ts";
import type { Wire } from "./wire.ts";

/** Bytes of an address in a `struct socket_info`. */
const ADDRESS_BYTES = 16;

/** Decodes what the kernel says of sockets. */
export class SocketDecoder {
  readonly #at;
  readonly #kinds;

  constructor(wire: Wire) {
    this.#at = {
      family: wire.at("socket_info.family"),
      localAddr: wire.at("socket_info.local_addr"),
      localPort: wire.at("socket_info.local_port"),
      addr: wire.at("socket_info.addr"),
      port: wire.at("socket_info.port"),
    };
    this.#kinds = {
      peer: wire.at("SECTION_PEER"),
      unixLocal: wire.at("SECTION_UNIX_LOCAL"),
      unixPeer: wire.at("SECTION_UNIX_PEER"),
    };
  }

  /** The open socket of the section at `index`, as `op_info.target`. */
  target(sections: readonly Section[], index: number): JsonObject {
    const { bytes } = sections[index]!;
    const view = viewOf(bytes);
    const at = this.#at;
    const family = view.getUint16(at.family, true);
    const target: JsonObject = { kind: "socket", family: familyName(family) };
    if (family === AF_INET || family === AF_INET6) {
      target.local_addr = addressText(bytes, at.localAddr, family);
      target.local_port = view.getUint16(at.localPort, true);
      const port = view.getUint16(at.port, true);
      const peer = addressText(bytes, at.addr, family);
      // Without a peer both are zero.
      if (port !== 0 || !/^[0.:]*$/.test(peer)) {
        target.addr = peer;
        target.port = port;
      }
    } else if (family === AF_UNIX) {
      putUnix(target, "local_path", nameBehind(sections, index, this.#kinds.unixLocal));
      putUnix(target, "path", nameBehind(sections, index, this.#kinds.unixPeer));
    }
    return target;
  }

  /** The other end of a new socket, as `op_info` of the ACCEPT that made it; undefined of no such. */
  peer(sections: readonly Section[]): JsonObject | undefined {
    const index = sections.findIndex(({ kind }) => kind === this.#kinds.peer);
    if (index < 0) return undefined;
    const { bytes } = sections[index]!;
    const view = viewOf(bytes);
    const at = this.#at;
    const family = view.getUint16(at.family, true);
    const peer: JsonObject = {};
    if (family === AF_INET || family === AF_INET6) {
      peer.addr = addressText(bytes, at.addr, family);
      peer.port = view.getUint16(at.port, true);
    } else if (family === AF_UNIX) {
      putUnix(peer, "path", nameBehind(sections, index, this.#kinds.unixPeer));
    }
    peer.family = familyName(family);
    return peer;
  }
}

function addressText(info: Uint8Array, at: number, family: number): string {
  const bytes = info.subarray(at, at + ADDRESS_BYTES);
  return family === AF_INET ? ipv4Text(bytes) : ipv6Text(bytes);
}

/** The name of the unix socket at `index`, a `struct sockaddr_un`: one of the two sections behind. */
function nameBehind(
  sections: readonly Section[],
  index: number,
  kind: number,
): Uint8Array | undefined {
  return sections.slice(index + 1, index + 3).find((section) => section.kind === kind)?.bytes;
}

/** A unix socket's name; nothing for an unnamed socket. */
function putUnix(target: JsonObject, key: string, name: Uint8Array | undefined): void {
  const path = name === undefined ? undefined : parseSockaddr(name)?.path;
  if (path !== undefined) putUnixName(target, key, path);
}
