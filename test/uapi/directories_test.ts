import assert from "node:assert/strict";
import { withDirectories } from "../../lib/uapi/directories.ts";

Deno.test("withDirectories() says what a path begins at, and what it cannot lead out of", () => {
  const added = (info: { path: string; dfd: number; resolve?: string }) =>
    withDirectories(info, (_, fd) => ({ kind: "file", path: `/fd-${fd}` })).info.dfd_path;
  assert.equal(added({ path: "shadow", dfd: 5 }), "/fd-5");
  assert.equal(added({ path: "/shadow", dfd: 5 }), undefined);
  assert.equal(added({ path: "/shadow", dfd: 5, resolve: "RESOLVE_IN_ROOT" }), "/fd-5");
  assert.equal(added({ path: "/shadow", dfd: 5, resolve: "RESOLVE_BENEATH" }), undefined);
  for (const way of ["/proc/self", "/proc/thread-self", "/dev"]) {
    assert.equal(added({ path: `${way}/fd/7`, dfd: 5 }), "/fd-7");
    assert.equal(added({ path: `${way}/fd/7/x`, dfd: 5 }), "/fd-7");
    assert.equal(added({ path: `${way}/fd/7x`, dfd: 5 }), undefined);
    assert.equal(added({ path: `/x${way}/fd/7`, dfd: 5 }), undefined);
  }
});
