/** An IPv4 or IPv6 address. */
export interface IpAddress {
  /** 4 or 16. */
  readonly length: number;
  /** The address as a number of `length` bytes. */
  readonly value: bigint;
}

/** All addresses that begin with the same bits. */
export interface IpRange {
  readonly first: IpAddress;
  /** Bits that the addresses share: 0 to 32, or 0 to 128. */
  readonly bits: number;
}

const IPV4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;
const GROUP = /^[0-9a-fA-F]{1,4}$/;
/** `::ffff:0:0/96`: IPv4 addresses as an IPv6 socket shows them. */
const MAPPED_BITS = 96;
const MAPPED = 0xffffn;

/**
 * Reads an address in text form (inet_pton(3)). An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is
 * the IPv4 address.
 *
 * @returns The address, or undefined for any other text.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  const address = parseWritten(text);
  return address !== undefined && isMapped(address)
    ? { length: 4, value: BigInt.asUintN(32, address.value) }
    : address;
}

/**
 * Reads an address, or a range in CIDR form: `10.0.0.0/8`.
 *
 * @returns The range, or what is wrong with the text: sentence case, no full stop.
 */
export function parseIpRange(text: string): IpRange | string {
  const [written, prefix, rest] = text.split("/");
  const address = parseWritten(written!);
  if (address === undefined || rest !== undefined) {
    return `${JSON.stringify(text)} is no IP address or CIDR range`;
  }
  const most = address.length * 8;
  const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Infinity;
  if (bits > most) {
    return `Prefix length of ${JSON.stringify(text)} is not from 0 to ${most}`;
  }
  if (BigInt.asUintN(most - bits, address.value) !== 0n) {
    const network = address.value >> BigInt(most - bits) << BigInt(most - bits);
    return `${JSON.stringify(text)} has bits set after its prefix, ` +
      `the range begins at ${ipText({ length: address.length, value: network })}`;
  }
  return isMapped(address) && bits >= MAPPED_BITS
    ? { first: { length: 4, value: BigInt.asUintN(32, address.value) }, bits: bits - MAPPED_BITS }
    : { first: address, bits };
}

/** Whether an address lies in a range. */
export function isInRange({ length, value }: IpAddress, { first, bits }: IpRange): boolean {
  const shift = BigInt(length * 8 - bits);
  return length === first.length && value >> shift === first.value >> shift;
}

function isMapped({ length, value }: IpAddress): boolean {
  return length === 16 && value >> 32n === MAPPED;
}

function parseWritten(text: string): IpAddress | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): IpAddress | undefined {
  const parts = IPV4.exec(text)?.slice(1);
  // A leading zero would be octal to some readers.
  if (parts === undefined || parts.some((part) => Number(part) > 255 || /^0\d/.test(part))) {
    return undefined;
  }
  return { length: 4, value: parts.reduce((value, part) => value << 8n | BigInt(part), 0n) };
}

function parseIpv6(text: string): IpAddress | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [before, after] = halves.map((half, i) => groupsOf(half, i === halves.length - 1));
  if (before === undefined || halves.length === 2 && after === undefined) return undefined;
  const written = before.length + (after?.length ?? 0);
  if (halves.length === 1 ? written !== 8 : written > 7) return undefined;
  const groups = [...before, ...new Array(8 - written).fill(0n), ...after ?? []];
  return { length: 16, value: groups.reduce((value, group) => value << 16n | group, 0n) };
}

/** The 16-bit groups of one side of `::`; an IPv4 address at the very end is two of them. */
function groupsOf(text: string, isLast: boolean): bigint[] | undefined {
  if (text === "") return [];
  const groups: bigint[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (GROUP.test(part)) {
      groups.push(BigInt(`0x${part}`));
    } else {
      const v4 = isLast && i === parts.length - 1 ? parseIpv4(part) : undefined;
      if (v4 === undefined) return undefined;
      groups.push(v4.value >> 16n, v4.value & 0xffffn);
    }
  }
  return groups;
}

/** The address as text, an IPv6 one without `::`. */
function ipText({ length, value }: IpAddress): string {
  const [count, width, base, separator] = length === 4 ? [4, 8, 10, "."] : [8, 16, 16, ":"];
  return Array.from(
    { length: count as number },
    (_, i) =>
      BigInt.asUintN(
        width as number,
        value >> BigInt((width as number) * (count as number - 1 - i)),
      )
        .toString(base as number),
  ).join(separator as string);
}
