import assert from "node:assert/strict";
import { CAPABILITY_NAMES, capabilityText } from "../../lib/uapi/capabilities.ts";

Deno.test("capabilityText() writes sets as the model does", () => {
  const cases: [bigint, string][] = [
    [0n, ""],
    [0x1ffffffffffn, "ANY_CAPS"],
    [1n, "CAP_CHOWN"],
    [(1n << 40n) | (1n << 21n), "CAP_SYS_ADMIN | CAP_CHECKPOINT_RESTORE"],
    [1n << 39n, "CAP_BPF"],
    [(1n << 41n) | 1n, "CAP_CHOWN | 0x20000000000"],
  ];
  for (const [mask, text] of cases) assert.equal(capabilityText(mask), text);
});

Deno.test("capabilityText() spells out all but one, and all and one more", () => {
  assert.equal(capabilityText(0xffffffffffn), CAPABILITY_NAMES.slice(0, 40).join(" | "));
  assert.equal(capabilityText(0x3ffffffffffn), `${CAPABILITY_NAMES.join(" | ")} | 0x20000000000`);
});
