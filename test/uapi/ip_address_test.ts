import assert from "node:assert/strict";
import { isInRange, parseIpAddress, parseIpRange } from "../../lib/uapi/ip_address.ts";

function isIn(address: string, range: string): boolean {
  const [parsed, parsedRange] = [parseIpAddress(address), parseIpRange(range)];
  assert.ok(parsed !== undefined && typeof parsedRange !== "string", `${address} ${range}`);
  return isInRange(parsed, parsedRange);
}

Deno.test("parseIpAddress() reads what inet_pton(3) does", () => {
  assert.deepEqual(parseIpAddress("10.0.0.1"), [0x0a00, 0x0001]);
  assert.deepEqual(parseIpAddress("255.255.0.0"), [0xffff, 0]);
  assert.deepEqual(parseIpAddress("::"), [0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(parseIpAddress("1::"), [1, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(parseIpAddress("2001:dB8::7"), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]);
  assert.deepEqual(parseIpAddress("1:2:3:4:5:6:7:8"), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(parseIpAddress("1:2:3::5:6:7:ffff"), [1, 2, 3, 0, 5, 6, 7, 0xffff]);
  assert.deepEqual(
    parseIpAddress("64:ff9b::192.0.2.33"),
    [0x64, 0xff9b, 0, 0, 0, 0, 0xc000, 0x0221],
  );
  assert.deepEqual(parseIpAddress("::ffff:10.0.0.1"), parseIpAddress("10.0.0.1"));
  for (
    const text of [
      "",
      "1",
      "10.0.0",
      "10.0.0.256",
      "010.0.0.1",
      "10.0.0.1.1",
      "10.0.0.",
      ".0.0.1",
      "10..0.1",
      "00.0.0.1",
      "1.2.3.4 ",
      ":",
      ":::",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7::8",
      "12345::",
      "g::",
      "1:",
      ":1",
      "1:2:",
      "::1:",
      "1:::2",
      "::1.2.3",
      "1.2.3.4:1::",
      "1:2:3:4:5:6:7:1.2.3.4",
      "\u0661::",
      "::1%eth0",
      "1.2.3.4::",
      "@abstract",
      "/run/x",
    ]
  ) assert.equal(parseIpAddress(text), undefined, text);
});

Deno.test("isInRange() compares the leading bits", () => {
  assert.ok(isIn("10.255.0.1", "10.0.0.0/8"));
  assert.ok(!isIn("11.0.0.1", "10.0.0.0/8"));
  assert.ok(isIn("10.0.0.1", "10.0.0.1"));
  assert.ok(isIn("10.0.0.1", "0.0.0.0/0"));
  assert.ok(!isIn("::1", "0.0.0.0/0"));
  assert.ok(isIn("2001:db8:ffff::1", "2001:db8::/32"));
  assert.ok(!isIn("2001:db9::1", "2001:db8::/32"));
  assert.ok(isIn("::ffff:10.1.2.3", "10.0.0.0/8"));
  assert.ok(isIn("10.1.2.3", "::ffff:10.0.0.0/104"));
  assert.ok(isIn("fe80::1", "fe80::/10"));
  assert.ok(!isIn("fec0::1", "fe80::/10"));
  assert.ok(isIn("10.0.1.255", "10.0.1.128/25"));
  assert.ok(!isIn("10.0.1.127", "10.0.1.128/25"));
  assert.ok(!isIn("::2", "::1"));
});

Deno.test("parseIpRange() says what is wrong", () => {
  assert.equal(parseIpRange("x"), '"x" is no IP address or CIDR range');
  assert.equal(parseIpRange("10.0.0.0/8/8"), '"10.0.0.0/8/8" is no IP address or CIDR range');
  assert.equal(parseIpRange("::/129"), 'Prefix length of "::/129" is not from 0 to 128');
  assert.equal(parseIpRange("10.0.0.0/-1"), 'Prefix length of "10.0.0.0/-1" is not from 0 to 32');
  assert.equal(
    parseIpRange("10.1.2.3/15"),
    '"10.1.2.3/15" has bits set after its prefix, the range begins at 10.0.0.0',
  );
  assert.equal(
    parseIpRange("2001:db8::1/32"),
    '"2001:db8::1/32" has bits set after its prefix, the range begins at 2001:db8:0:0:0:0:0:0',
  );
});
