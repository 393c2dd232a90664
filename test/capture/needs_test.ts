import { deepStrictEqual, equal } from "node:assert/strict";
import { captureNeeds, unmetNeed } from "../../lib/capture/needs.ts";
import { pathFromComponents } from "../../lib/capture/path_bytes.ts";

function host(files: Record<string, string>) {
  return (path: string) => files[path];
}

const ROOT = { "/proc/self/status": "CapEff:\t000001ffffffffff\n" };
const HOOKS = { hasBtf: true, hooks: ["io_uring_submit_req"] };

Deno.test("captureNeeds() is met for root on a kernel with all it takes", () => {
  equal(unmetNeed(captureNeeds(host(ROOT), HOOKS)), undefined);
});

Deno.test("captureNeeds() takes CAP_BPF and CAP_PERFMON for enough", () => {
  const few = host({ "/proc/self/status": "CapEff:\t000000c000000000\n" });
  equal(unmetNeed(captureNeeds(few, HOOKS)), undefined);
  const one = host({ "/proc/self/status": "CapEff:\t0000008000000000\n" });
  equal(
    unmetNeed(captureNeeds(one, HOOKS))?.says,
    "CAP_PERFMON missing: run it as root (sudo iouring capture)",
  );
});

Deno.test("captureNeeds() names what a kernel lacks", () => {
  equal(unmetNeed(captureNeeds(host(ROOT), { hasBtf: false, hooks: undefined }))?.name, "BTF");
  equal(unmetNeed(captureNeeds(host(ROOT), { hasBtf: true, hooks: [] }))?.name, "hooks");
  const locked = host({
    ...ROOT,
    "/sys/kernel/security/lockdown": "none integrity [confidentiality]\n",
  });
  equal(unmetNeed(captureNeeds(locked, HOOKS))?.name, "lockdown");
});

Deno.test("captureNeeds() goes on where io_uring is disabled, and says so", () => {
  const disabled = host({ ...ROOT, "/proc/sys/kernel/io_uring_disabled": "2\n" });
  const needs = captureNeeds(disabled, HOOKS);
  equal(unmetNeed(needs), undefined);
  equal(needs.at(-1)?.met, false);
});

Deno.test("pathFromComponents() turns components round", () => {
  const path = (text: string) =>
    new TextDecoder().decode(pathFromComponents(new TextEncoder().encode(text)));
  deepStrictEqual([path("c\0b\0a\0"), path("a\0"), path("")], ["/a/b/c", "/a", "/"]);
});
