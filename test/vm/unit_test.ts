/**
 * The systemd unit of the capture, in a guest that systemd runs: as a user of its own, with two
 * capabilities and a sandbox.
 */
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { buildWorkload } from "../live/workload.ts";
import { ROOT } from "../paths.ts";
import { fetchKernel, LAB_KERNELS } from "./kernels.ts";
import { labTest } from "./lab_case.ts";
import { Guest } from "./qemu.ts";
import { run } from "./run.ts";
import { fetchSystemdUserland } from "./systemd_userland.ts";

const KERNEL = LAB_KERNELS.find(({ name }) => name === "6.12")!;

/** Starts the script once the system is up. */
const SERVICE = `[Unit]
After=multi-user.target
[Service]
ExecStart=/usr/local/bin/guest_unit.sh
`;

/** Boots a system with the unit installed; what its script sent, by name. */
async function runUnit(): Promise<Map<string, string>> {
  const cache = `${await Deno.realPath(`${ROOT}.cache`)}/lab`;
  await Deno.mkdir(cache, { recursive: true });
  // One guest at a time, also where two programs ask for one.
  using lock = await Deno.open(`${cache}/lock`, { write: true, create: true });
  await lock.lock(true);
  const fetched = await fetchKernel(KERNEL, cache);
  const userland = await fetchSystemdUserland(KERNEL.suite, cache);
  const workload = await buildWorkload({ static: true });
  const dir = await Deno.makeTempDir();
  try {
    const tree = `${dir}/tree`;
    await run("cp", ["-a", userland, tree]);
    await run(Deno.execPath(), ["run", "-A", `${ROOT}ffi/install.ts`, `${tree}/usr/local`]);
    const unit = `${tree}/usr/local/lib/systemd/system/iouring-capture.service`;
    const text = await Deno.readTextFile(unit);
    await Deno.writeTextFile(unit, text.replaceAll(tree, ""));
    for (
      const [from, name] of [[workload, "workload"], [`${HERE}/guest_unit.sh`, "guest_unit.sh"]]
    ) {
      await Deno.copyFile(from!, `${tree}/usr/local/bin/${name}`);
      await Deno.chmod(`${tree}/usr/local/bin/${name}`, 0o755);
    }
    const system = `${tree}/etc/systemd/system`;
    await Deno.writeTextFile(`${system}/guest-unit.service`, SERVICE);
    await Deno.mkdir(`${system}/multi-user.target.wants`, { recursive: true });
    await Deno.symlink(
      "../guest-unit.service",
      `${system}/multi-user.target.wants/guest-unit.service`,
    );
    const initrd = `${dir}/initrd.cpio`;
    const pack = `cd "$1" && find . | cpio -o -H newc --quiet -R 0:0 > "$2"`;
    await run("sh", ["-c", pack, "sh", tree, initrd]);
    await Deno.remove(tree, { recursive: true });
    const guest = await Guest.start({
      dir,
      vmlinuz: fetched.vmlinuz,
      initrd,
      paging: 4,
      memory: 2048,
      vmcoreinfo: false,
      append:
        "rdinit=/lib/systemd/systemd systemd.unit=multi-user.target systemd.mask=serial-getty@ttyS0.service",
    });
    try {
      return partsOf(await guest.waitFor("READY"));
    } catch (error) {
      const console = await Deno.readTextFile(`${dir}/console.log`).catch(() => "");
      throw new Error(`${error}\n${console.slice(-3000)}`);
    } finally {
      await guest.quit();
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function partsOf(text: string): Map<string, string> {
  const parts = new Map<string, string>();
  for (const [, name, body] of text.matchAll(/BEGIN (\w+)\r?\n([^]*?)END/g)) {
    const bytes = gunzipSync(Uint8Array.fromBase64(body!.replace(/\s/g, "")));
    parts.set(name!, new TextDecoder().decode(bytes));
  }
  return parts;
}

const HERE = import.meta.dirname!;

await labTest("the systemd unit captures, rotates and holds no capability", runUnit, (parts) => {
  const said = parts.get("status")! + parts.get("journal")!;
  const records = (name: string) =>
    (parts.get(name) ?? "").trim().split("\n").map((line) => JSON.parse(line));

  const first = records("first");
  assert.equal(first[0].phase, "start", said);
  assert.equal(first.at(-1).phase, "end", said);
  assert.equal(first.at(-1).totals.lost, 0);
  assert.ok(
    first.some(({ opcode, op_info }) =>
      opcode === "IORING_OP_OPENAT" && op_info.path === "/etc/passwd"
    ),
  );
  assert.equal(records("second")[0].phase, "start", said);

  const threads = parts.get("threads")!;
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) {
    const values = new Set(
      threads.matchAll(new RegExp(`^${set}:\\s+(\\w+)`, "gm")).map((m) => m[1]),
    );
    assert.deepEqual([...values], ["0000000000000000"], set);
  }
  const bounding = 1n << 38n | 1n << 39n; // CAP_PERFMON and CAP_BPF
  assert.match(threads, new RegExp(`^CapBnd:\\s+0*${bounding.toString(16)}$`, "m"));
  assert.match(threads, /^Seccomp:\s+2$/m);
  const uids = new Set(threads.matchAll(/^Uid:\s+(\d+)\s/gm).map((match) => match[1]));
  assert.equal(uids.size, 1);
  assert.ok(!uids.has("0"));
  assert.match(parts.get("folder")!, /^drwx------ /);
  assert.equal(parts.get("verify"), "");
  assert.match(parts.get("exposure")!, / OK | SAFE /, parts.get("exposure"));
});
