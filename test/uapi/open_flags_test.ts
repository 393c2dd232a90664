import assert from "node:assert/strict";
import {
  accessFlags,
  creationFlags,
  modeText,
  openat2How,
  openatHow,
  resolveFlags,
} from "../../lib/uapi/open_flags.ts";

Deno.test("accessFlags() names the access mode", () => {
  const cases: [number, string][] = [
    [0, "O_RDONLY"],
    [1, "O_WRONLY"],
    [0o1102, "O_RDWR"],
    [3, ""],
  ];
  for (const [flags, text] of cases) assert.equal(accessFlags(flags), text);
});

Deno.test("creationFlags() writes what the model writes", () => {
  const cases: [number, string][] = [
    [0, ""],
    [0o100000, "O_LARGEFILE"],
    [0o101101, "O_CREAT | O_TRUNC | O_LARGEFILE"],
    [0o4010000, "O_DSYNC | O_SYNC"],
    [0o20200000, "O_DIRECTORY | O_TMPFILE"],
    [0o2100000 | 0o400000, "O_LARGEFILE | O_NOFOLLOW | O_CLOEXEC"],
    [0x40000000, ""],
  ];
  for (const [flags, text] of cases) assert.equal(creationFlags(flags), text);
});

Deno.test("openatHow() does to the flags what the kernel does", () => {
  const cases: [flags: number, mode: number, wantFlags: number, wantMode: bigint][] = [
    [0, 0o644, 0o100000, 0n], // No file is made: no mode.
    [0o1101, 0o644, 0o101101, 0o644n],
    [0o1101, 0o100644, 0o101101, 0o644n], // The file type is not a permission.
    [0o20200002, 0o600, 0o20300002, 0o600n], // O_TMPFILE.
    [0o10000002, 0, 0o10000000, 0n], // O_PATH: neither O_RDWR nor O_LARGEFILE.
    [0o12600100, 0o777, 0o12600000, 0n], // O_PATH: no O_CREAT.
    [0xc0000000 | 0, 0, 0o100000, 0n], // Unknown bits are dropped.
  ];
  for (const [flags, mode, wantFlags, wantMode] of cases) {
    const how = openatHow(flags, mode);
    assert.deepEqual(how, { flags: wantFlags, mode: wantMode });
    assert.deepEqual(openatHow(how.flags, Number(how.mode)), how, "twice is the same as once");
  }
});

Deno.test("openat2How() only adds O_LARGEFILE, and not to O_PATH", () => {
  assert.deepEqual(openat2How(0o2, 0o755n), { flags: 0o100002, mode: 0o755n });
  assert.deepEqual(openat2How(0o10000002, 0n), { flags: 0o10000002, mode: 0n });
});

Deno.test("resolveFlags() names bits", () => {
  assert.equal(resolveFlags(0), "");
  assert.equal(resolveFlags(0x28), "RESOLVE_BENEATH | RESOLVE_CACHED");
  assert.equal(resolveFlags(0x140), "0x140");
});

Deno.test("modeText() writes four octal digits or more", () => {
  const cases: [number | bigint, string][] = [
    [0, "0000"],
    [0o644, "0644"],
    [0o1777n, "1777"],
    [0o100755, "100755"],
    [0xffffffffffffffffn, "1777777777777777777777"],
  ];
  for (const [mode, text] of cases) assert.equal(modeText(mode), text);
});
