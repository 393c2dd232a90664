import { deepStrictEqual, equal } from "node:assert/strict";
import { captureNeeds, unmetNeed } from "../../lib/capture/needs.ts";
import { pathFromComponents } from "../../lib/capture/path_bytes.ts";

function host(files: Record<string, string>) {
  return (path: string) => files[path];
}

const ROOT = { "/proc/self/status": "CapEff:\t000001ffffffffff\n" };
const HOOKS = {
  hasBtf: true,
  hooks: ["io_uring_submit_req"],
  hasRingBuffer: true,
  tryBpf: () => 0,
};

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
  equal(
    unmetNeed(captureNeeds(host(ROOT), { ...HOOKS, hasBtf: false, hooks: undefined }))?.name,
    "BTF",
  );
  equal(unmetNeed(captureNeeds(host(ROOT), { ...HOOKS, hooks: [] }))?.name, "hooks");
  equal(
    unmetNeed(captureNeeds(host(ROOT), { ...HOOKS, hasRingBuffer: false }))?.says,
    "this kernel's BPF has no ring buffer: use Linux 5.10 or later",
  );
  const locked = host({
    ...ROOT,
    "/sys/kernel/security/lockdown": "none integrity [confidentiality]\n",
  });
  equal(unmetNeed(captureNeeds(locked, HOOKS))?.name, "lockdown");
});

Deno.test("captureNeeds() does not count capabilities of a user namespace", () => {
  const mapped = (map: string) => captureNeeds(host({ ...ROOT, "/proc/self/uid_map": map }), HOOKS);
  equal(unmetNeed(mapped("         0          0 4294967295\n")), undefined);
  equal(
    unmetNeed(mapped("         0     100000      65536\n"))?.says,
    "the capabilities of a user namespace are not enough: run it as root of the host",
  );
});

Deno.test("captureNeeds() says why no BPF program can be loaded", () => {
  const failing = (errno: number, status = "") =>
    unmetNeed(
      captureNeeds(host({ "/proc/self/status": ROOT["/proc/self/status"] + status }), {
        ...HOOKS,
        tryBpf: () => -errno,
      }),
    )?.says;
  const where = "run it where that is allowed, such as outside the container";
  equal(failing(1, "Seccomp:\t2\n"), `a seccomp filter forbids bpf(2): ${where}`);
  equal(failing(38, "Seccomp:\t2\n"), `a seccomp filter forbids bpf(2): ${where}`);
  equal(failing(1), `the kernel or its security module forbids bpf(2): ${where}`);
  equal(failing(38), "this kernel has no bpf(2): use one with CONFIG_BPF_SYSCALL");
  equal(failing(22), "BPF may not read the kernel: boot without lockdown=confidentiality");
  equal(failing(12), "bpf(2) fails with ENOMEM");
});

Deno.test("captureNeeds() does not try BPF without the privilege", () => {
  const nobody = host({ "/proc/self/status": "CapEff:\t0000000000000000\n" });
  const needs = captureNeeds(nobody, {
    ...HOOKS,
    tryBpf: () => {
      throw new Error("tried");
    },
  });
  equal(unmetNeed(needs)?.name, "privilege");
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
