import { FLAG_SEPARATOR, type FlagTable, flagText } from "./flags.ts";

/** Address families of `include/linux/socket.h`. */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;

/** Address families at the index of their value. Source: include/linux/socket.h. */
const FAMILIES: readonly string[] = [
  "AF_UNSPEC",
  "AF_UNIX",
  "AF_INET",
  "AF_AX25",
  "AF_IPX",
  "AF_APPLETALK",
  "AF_NETROM",
  "AF_BRIDGE",
  "AF_ATMPVC",
  "AF_X25",
  "AF_INET6",
  "AF_ROSE",
  "AF_DECnet",
  "AF_NETBEUI",
  "AF_SECURITY",
  "AF_KEY",
  "AF_NETLINK",
  "AF_PACKET",
  "AF_ASH",
  "AF_ECONET",
  "AF_ATMSVC",
  "AF_RDS",
  "AF_SNA",
  "AF_IRDA",
  "AF_PPPOX",
  "AF_WANPIPE",
  "AF_LLC",
  "AF_IB",
  "AF_MPLS",
  "AF_CAN",
  "AF_TIPC",
  "AF_BLUETOOTH",
  "AF_IUCV",
  "AF_RXRPC",
  "AF_ISDN",
  "AF_PHONET",
  "AF_IEEE802154",
  "AF_CAIF",
  "AF_ALG",
  "AF_NFC",
  "AF_VSOCK",
  "AF_KCM",
  "AF_QIPCRTR",
  "AF_SMC",
  "AF_XDP",
  "AF_MCTP",
];

/** Socket types by value. Source: include/linux/net.h. */
const SOCKET_TYPES: ReadonlyMap<number, string> = new Map([
  [1, "SOCK_STREAM"],
  [2, "SOCK_DGRAM"],
  [3, "SOCK_RAW"],
  [4, "SOCK_RDM"],
  [5, "SOCK_SEQPACKET"],
  [6, "SOCK_DCCP"],
  [10, "SOCK_PACKET"],
]);

/**
 * What may be or-ed to a socket type, and the flags of accept4(2): O_NONBLOCK and O_CLOEXEC under
 * other names.
 */
export const SOCKET_FLAGS: FlagTable = [
  [0o4000, "SOCK_NONBLOCK"],
  [0o2000000, "SOCK_CLOEXEC"],
];

/** Internet protocols by value. Source: include/uapi/linux/in.h. */
const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [0, "IPPROTO_IP"],
  [1, "IPPROTO_ICMP"],
  [2, "IPPROTO_IGMP"],
  [4, "IPPROTO_IPIP"],
  [6, "IPPROTO_TCP"],
  [8, "IPPROTO_EGP"],
  [12, "IPPROTO_PUP"],
  [17, "IPPROTO_UDP"],
  [22, "IPPROTO_IDP"],
  [29, "IPPROTO_TP"],
  [33, "IPPROTO_DCCP"],
  [41, "IPPROTO_IPV6"],
  [46, "IPPROTO_RSVP"],
  [47, "IPPROTO_GRE"],
  [50, "IPPROTO_ESP"],
  [51, "IPPROTO_AH"],
  [58, "IPPROTO_ICMPV6"],
  [92, "IPPROTO_MTP"],
  [94, "IPPROTO_BEETPH"],
  [98, "IPPROTO_ENCAP"],
  [103, "IPPROTO_PIM"],
  [108, "IPPROTO_COMP"],
  [115, "IPPROTO_L2TP"],
  [132, "IPPROTO_SCTP"],
  [136, "IPPROTO_UDPLITE"],
  [137, "IPPROTO_MPLS"],
  [143, "IPPROTO_ETHERNET"],
  [144, "IPPROTO_AGGFRAG"],
  [255, "IPPROTO_RAW"],
  [256, "IPPROTO_SMC"],
  [262, "IPPROTO_MPTCP"],
]);

/** A socket address. Which keys there are depends on the family. */
export interface SocketAddress {
  /** `"AF_INET"` and so on; a family without a name is its number. */
  readonly family: string;
  /** IPv4 or IPv6 address as text. */
  readonly addr?: string;
  /** Port in host order, 0 to 65535. */
  readonly port?: number;
  /** Interface index of a scoped IPv6 address, there only when not 0. */
  readonly scopeId?: number;
  /**
   * The name of a unix socket, as raw bytes: a pathname without its NUL, or an abstract name with
   * the NUL it starts with. An unnamed socket has none.
   */
  readonly path?: Uint8Array;
}

/** The name of an address family; its number as text where it has none. */
export function familyName(family: number): string {
  return FAMILIES[family] ?? String(family);
}

/** A socket(2) type with its flags: `"SOCK_STREAM | SOCK_CLOEXEC"`. */
export function socketTypeName(type: number): string {
  const kind = type & 0xf;
  const flags = flagText(type & ~0xf, SOCKET_FLAGS);
  const name = SOCKET_TYPES.get(kind) ?? String(kind);
  return flags === "" ? name : name + FLAG_SEPARATOR + flags;
}

/**
 * A socket(2) protocol: `"IPPROTO_TCP"` for the internet families, elsewhere its number as text.
 */
export function protocolName(protocol: number, family: number): string {
  const internet = family === AF_INET || family === AF_INET6;
  return (internet ? PROTOCOLS.get(protocol) : undefined) ?? String(protocol);
}

/**
 * Decodes a socket address.
 *
 * @param bytes A `struct sockaddr`, exactly as long as its caller said: for a unix socket the
 * length tells the kinds of names apart. What follows an internet address is not looked at.
 * @returns The address, or undefined where `bytes` is too short for a family or for what its family
 * needs.
 */
export function parseSockaddr(bytes: Uint8Array): SocketAddress | undefined {
  if (bytes.length < 2) return undefined;
  const family = bytes[0]! | (bytes[1]! << 8);
  const name = familyName(family);
  switch (family) {
    case AF_INET: {
      // struct sockaddr_in: family, port, address, 8 bytes of padding (ip(7)).
      if (bytes.length < 8) return undefined;
      return { family: name, addr: ipv4Text(bytes, 4), port: portAt(bytes) };
    }
    case AF_INET6: {
      // struct sockaddr_in6: family, port, flow information, address, and since RFC 2553 the scope
      // (ipv6(7)).
      if (bytes.length < 24) return undefined;
      const address = { family: name, addr: ipv6Text(bytes.subarray(8, 24)), port: portAt(bytes) };
      const scopeId = bytes.length < 28 ? 0 : uint32At(bytes, 24);
      return scopeId === 0 ? address : { ...address, scopeId };
    }
    case AF_UNIX: {
      // struct sockaddr_un, three kinds by length and first byte (unix(7)); sun_path has room for
      // 108 bytes.
      const path = bytes.subarray(2, 110);
      if (path.length === 0) return { family: name };
      if (path[0] === 0) return { family: name, path };
      const end = path.indexOf(0);
      return { family: name, path: end < 0 ? path : path.subarray(0, end) };
    }
    default:
      return { family: name };
  }
}

/** IPv6 text form of 16 bytes: RFC 5952, with a mapped IPv4 address in dotted form. */
export function ipv6Text(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let index = 0; index < 16; index += 2) {
    groups.push((bytes[index]! << 8) | bytes[index + 1]!);
  }
  const mapped = groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0);
  if (mapped) return `::ffff:${ipv4Text(bytes, 12)}`;

  let bestStart = -1;
  let bestLength = 1; // A single zero group is written out.
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > bestLength) {
      bestStart = start;
      bestLength = end - start;
    }
    if (end > start) start = end;
  }
  const hex = groups.map((group) => group.toString(16));
  if (bestStart < 0) return hex.join(":");
  return `${hex.slice(0, bestStart).join(":")}::${hex.slice(bestStart + bestLength).join(":")}`;
}

/** IPv4 text form of the 4 bytes at `offset`. */
export function ipv4Text(bytes: Uint8Array, offset = 0): string {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`;
}

function portAt(bytes: Uint8Array): number {
  return (bytes[2]! << 8) | bytes[3]!;
}

function uint32At(bytes: Uint8Array, offset: number): number {
  const value = bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) |
    (bytes[offset + 3]! << 24);
  return value >>> 0;
}
