/** An IPv4 or IPv6 address: its bytes in pairs, 2 or 8 numbers of 16 bits, the first ones first. */
export type IpAddress = readonly number[];

/** All addresses that begin with the same bits. */
export interface IpRange {
  readonly first: IpAddress;
  /** Bits that the addresses share: 0 to 32, or 0 to 128. */
  readonly bits: number;
}

const PAIR_BITS = 16;
const IPV4_PAIRS = 2;
const IPV6_PAIRS = 8;
/** `::ffff:0:0/96`: IPv4 addresses as an IPv6 socket shows them. */
const MAPPED: IpAddress = [0, 0, 0, 0, 0, 0xffff];
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/**
 * Reads an address in text form (inet_pton(3)). An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is
 * the IPv4 address.
 *
 * @returns The address, or undefined for any other text.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  const address = parseWritten(text);
  return address !== undefined && isMapped(address) ? address.slice(MAPPED.length) : address;
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
  const most = address.length * PAIR_BITS;
  const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Infinity;
  if (bits > most) {
    return `Prefix length of ${JSON.stringify(text)} is not from 0 to ${most}`;
  }
  const network = address.map((pair, i) => pair & maskOf(bits - PAIR_BITS * i));
  if (network.some((pair, i) => pair !== address[i])) {
    return `${JSON.stringify(text)} has bits set after its prefix, ` +
      `the range begins at ${ipText(network)}`;
  }
  const mappedBits = MAPPED.length * PAIR_BITS;
  return isMapped(address) && bits >= mappedBits
    ? { first: address.slice(MAPPED.length), bits: bits - mappedBits }
    : { first: address, bits };
}

/** Whether an address lies in a range. */
export function isInRange(address: IpAddress, { first, bits }: IpRange): boolean {
  if (address.length !== first.length) return false;
  for (let i = 0; i * PAIR_BITS < bits; i++) {
    if (((first[i]! ^ address[i]!) & maskOf(bits - PAIR_BITS * i)) !== 0) return false;
  }
  return true;
}

/** The first `bits` of 16, of which there may be fewer or more. */
function maskOf(bits: number): number {
  return 0xffff0000 >> Math.min(PAIR_BITS, Math.max(0, bits)) & 0xffff;
}

function isMapped(address: IpAddress): boolean {
  if (address.length !== IPV6_PAIRS) return false;
  for (let i = 0; i < MAPPED.length; i++) {
    if (address[i] !== MAPPED[i]) return false;
  }
  return true;
}

function parseWritten(text: string): IpAddress | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): IpAddress | undefined {
  const bytes: number[] = [];
  let byte = -1;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT && byte >= 0) {
      bytes.push(byte);
      byte = -1;
    } else if (code >= ZERO && code <= NINE && byte !== 0) {
      byte = Math.max(0, byte) * 10 + code - ZERO;
      if (byte > 255) return undefined;
    } else {
      // A leading zero, too, would be octal to some readers.
      return undefined;
    }
  }
  const [a, b, c] = bytes;
  if (bytes.length !== 3 || byte < 0) return undefined;
  return [a! << 8 | b!, c! << 8 | byte];
}

function parseIpv6(text: string): IpAddress | undefined {
  const pairs = [0, 0, 0, 0, 0, 0, 0, 0];
  let count = 0;
  /** How many pairs come before `::`; -1 where there is none. */
  let gap = text.startsWith("::") ? 0 : -1;
  for (let i = gap === 0 ? 2 : 0; i < text.length;) {
    let end = i;
    let pair = 0;
    for (; end < text.length; end++) {
      const digit = hexDigit(text.charCodeAt(end));
      if (digit < 0) break;
      pair = pair << 4 | digit;
    }
    if (end < text.length && text.charCodeAt(end) === DOT) {
      const last = parseIpv4(text.slice(i));
      if (last === undefined || count > IPV6_PAIRS - last.length) return undefined;
      for (const pair of last) pairs[count++] = pair;
      break;
    }
    if (end === i || end > i + 4 || count === IPV6_PAIRS) return undefined;
    pairs[count++] = pair;
    if (end === text.length) break;
    if (text[end] !== ":" || end + 1 === text.length) return undefined;
    i = end + 1;
    if (text[i] === ":") {
      if (gap >= 0) return undefined;
      gap = count;
      i++;
    }
  }
  const left = IPV6_PAIRS - count;
  if (gap < 0) return left === 0 ? pairs : undefined;
  if (left < 1) return undefined;
  pairs.copyWithin(gap + left, gap, count);
  pairs.fill(0, gap, gap + left);
  return pairs;
}

/** The value of a hexadecimal digit, or -1. */
function hexDigit(code: number): number {
  if (code >= ZERO && code <= NINE) return code - ZERO;
  const letter = (code | 0x20) - 0x61;
  return letter >= 0 && letter < 6 ? letter + 10 : -1;
}

/** The address as text, an IPv6 one without `::`. */
function ipText(address: IpAddress): string {
  return address.length === IPV4_PAIRS
    ? address.flatMap((pair) => [pair >> 8, pair & 0xff]).join(".")
    : address.map((pair) => pair.toString(16)).join(":");
}
