import assert from "node:assert/strict";
import {
  familyName,
  ipv6Text,
  parseSockaddr,
  protocolName,
  type SocketAddress,
  socketTypeName,
} from "../../lib/uapi/socket_address.ts";
import {
  bytesOf,
  pseudoRandom,
  randomBytes,
  sockaddrIn,
  sockaddrIn6,
  sockaddrUn,
} from "./layout.ts";

Deno.test("parseSockaddr() decodes addresses", () => {
  const cases: [string, Uint8Array, SocketAddress | undefined][] = [
    ["IPv4", sockaddrIn([127, 0, 0, 1], 443), {
      family: "AF_INET",
      addr: "127.0.0.1",
      port: 443,
    }],
    ["IPv4 without padding", sockaddrIn([255, 255, 255, 255], 65535).subarray(0, 8), {
      family: "AF_INET",
      addr: "255.255.255.255",
      port: 65535,
    }],
    [
      "IPv4 in a sockaddr_storage",
      bytesOf([...sockaddrIn([10, 0, 0, 1], 1)], Array(112).fill(255)),
      {
        family: "AF_INET",
        addr: "10.0.0.1",
        port: 1,
      },
    ],
    ["IPv6", sockaddrIn6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 80), {
      family: "AF_INET6",
      addr: "2001:db8::1",
      port: 80,
    }],
    ["IPv6 with scope", sockaddrIn6([0xfe80, 0, 0, 0, 0, 0, 0, 1], 80, 2), {
      family: "AF_INET6",
      addr: "fe80::1",
      port: 80,
      scopeId: 2,
    }],
    ["IPv6 of 24 bytes", sockaddrIn6([0, 0, 0, 0, 0, 0, 0, 1], 80, 2).subarray(0, 24), {
      family: "AF_INET6",
      addr: "::1",
      port: 80,
    }],
    ["unix", sockaddrUn("/run/x.sock", 0, "rest"), {
      family: "AF_UNIX",
      path: bytesOf("/run/x.sock"),
    }],
    ["unix without NUL", sockaddrUn("a".repeat(108)), {
      family: "AF_UNIX",
      path: bytesOf("a".repeat(108)),
    }],
    ["abstract", sockaddrUn(0, "a", 0, "b"), { family: "AF_UNIX", path: bytesOf(0, "a", 0, "b") }],
    ["unnamed", sockaddrUn(), { family: "AF_UNIX" }],
    ["netlink", bytesOf(16, 0, Array(10).fill(0)), { family: "AF_NETLINK" }],
    ["unspecified", bytesOf(0, 0), { family: "AF_UNSPEC" }],
    ["no such family", bytesOf(0xff, 0xff), { family: "65535" }],
    ["nothing", bytesOf(), undefined],
    ["one byte", bytesOf(2), undefined],
    ["short IPv4", sockaddrIn([1, 2, 3, 4], 5).subarray(0, 7), undefined],
    ["short IPv6", sockaddrIn6([1, 2, 3, 4, 5, 6, 7, 8], 5).subarray(0, 23), undefined],
  ];
  for (const [name, bytes, want] of cases) assert.deepEqual(parseSockaddr(bytes), want, name);
});

Deno.test("parseSockaddr() takes any bytes", () => {
  const next = pseudoRandom(2);
  for (let round = 0; round < 2000; round++) {
    const bytes = randomBytes(next, next() % 130);
    if (bytes.length > 1 && round % 2 === 0) bytes.set([[1, 2, 10, 0][next() & 3]!, 0]);
    parseSockaddr(bytes);
  }
});

Deno.test("ipv6Text() follows RFC 5952", () => {
  const cases: [number[], string][] = [
    [[0, 0, 0, 0, 0, 0, 0, 0], "::"],
    [[0, 0, 0, 0, 0, 0, 0, 1], "::1"],
    [[1, 0, 0, 0, 0, 0, 0, 0], "1::"],
    [[0x2001, 0xdb8, 0, 0, 1, 0, 0, 1], "2001:db8::1:0:0:1"], // The first of two equal runs.
    [[0x2001, 0, 0, 1, 0, 0, 0, 1], "2001:0:0:1::1"], // The longer of two runs.
    [[0x2001, 0xdb8, 0, 1, 1, 1, 1, 1], "2001:db8:0:1:1:1:1:1"], // One zero group stays.
    [[0xabcd, 0xef01, 1, 2, 3, 4, 5, 6], "abcd:ef01:1:2:3:4:5:6"],
    [[0, 1, 2, 3, 4, 5, 6, 0], "0:1:2:3:4:5:6:0"],
    [[0, 0, 0, 0, 0, 0xffff, 0x7f00, 1], "::ffff:127.0.0.1"],
    [[0, 0, 0, 0, 0, 0, 0x7f00, 1], "::7f00:1"],
  ];
  for (const [groups, want] of cases) {
    assert.equal(ipv6Text(sockaddrIn6(groups, 0).subarray(8, 24)), want);
  }
});

Deno.test("familyName() names families", () => {
  const cases: [number, string][] = [
    [1, "AF_UNIX"],
    [2, "AF_INET"],
    [10, "AF_INET6"],
    [16, "AF_NETLINK"],
    [38, "AF_ALG"],
    [45, "AF_MCTP"],
    [46, "46"],
    [-1, "-1"],
  ];
  for (const [family, name] of cases) assert.equal(familyName(family), name);
});

Deno.test("socketTypeName() names the type and its flags", () => {
  const cases: [number, string][] = [
    [1, "SOCK_STREAM"],
    [0o2004002, "SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC"],
    [9, "9"],
    [0x103, "SOCK_RAW | 0x100"],
  ];
  for (const [type, name] of cases) assert.equal(socketTypeName(type), name);
});

Deno.test("protocolName() names protocols of the internet families only", () => {
  assert.equal(protocolName(6, 2), "IPPROTO_TCP");
  assert.equal(protocolName(58, 10), "IPPROTO_ICMPV6");
  assert.equal(protocolName(6, 16), "6");
  assert.equal(protocolName(999, 2), "999");
});
