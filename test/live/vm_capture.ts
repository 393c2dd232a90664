/**
 * The live capture on another kernel: boots it under QEMU with an empty userland of its Debian, the
 * built program and the workload, and hands back what both said.
 *
 * @module
 */

import { gunzipSync } from "node:zlib";
import { fetchKernel, LAB_KERNELS } from "../vm/kernels.ts";
import { Guest } from "../vm/qemu.ts";
import { LabUnavailableError, run } from "../vm/run.ts";
import { fetchUserland } from "../vm/userlands.ts";
import { buildWorkload } from "./workload.ts";

const ROOT = `${import.meta.dirname}/../..`;
const CACHE = `${ROOT}/.cache`;

/** What came out of a guest. */
export interface VmCapture {
  /** Package name and version of the kernel. */
  readonly kernel: string;
  readonly check: string;
  /** The stream's records. */
  readonly events: string;
  /** What the workload said, with a line for each mode and its exit code. */
  readonly said: string;
  readonly errors: string;
}

/** Captures `modes` of the workload on the lab's kernel of a name. */
export async function captureInVm(name: string, modes: readonly string[]): Promise<VmCapture> {
  const kernel = LAB_KERNELS.find((kernel) => kernel.name === name);
  if (kernel === undefined) throw new LabUnavailableError(`No kernel ${name} in the lab`);
  const dir = `${await Deno.realPath(CACHE)}/live/vm-${name}`;
  await Deno.mkdir(dir, { recursive: true });
  const labCache = `${await Deno.realPath(CACHE)}/lab`;
  await Deno.mkdir(labCache, { recursive: true });
  // One guest at a time, also where two programs ask for one.
  using lock = await Deno.open(`${labCache}/lock`, { write: true, create: true });
  await lock.lock(true);
  const fetched = await fetchKernel(kernel, labCache);
  const userland = await fetchUserland(kernel.suite.replace("-backports", ""), labCache);
  const initrd = await makeInitrd(dir, userland, modes);
  const guest = await Guest.start({
    dir,
    vmlinuz: fetched.vmlinuz,
    initrd,
    paging: 4,
    memory: 1024,
    vmcoreinfo: false,
    append: "",
  });
  try {
    const text = await guest.waitFor("READY", 300);
    const part = (name: string) => {
      const match = new RegExp(`BEGIN ${name}\\r?\\n([^]*?)--- END`).exec(text);
      if (match === null) return "";
      const bytes = Uint8Array.fromBase64(match[1]!.replace(/\s/g, ""));
      return new TextDecoder().decode(gunzipSync(bytes));
    };
    return {
      kernel: fetched.version,
      check: part("check"),
      events: part("events"),
      said: part("said"),
      errors: part("errors"),
    };
  } finally {
    await guest.quit();
  }
}

/** An initramfs of the userland at `userland`, and what the guest is to run. */
async function makeInitrd(
  dir: string,
  userland: string,
  modes: readonly string[],
): Promise<string> {
  const tree = `${dir}/initrd`;
  await Deno.remove(tree, { recursive: true }).catch(() => {});
  await run("cp", ["-a", userland, tree]);
  const busybox = (await run("sh", ["-c", "command -v busybox || true"])).trim();
  if (busybox === "") {
    throw new LabUnavailableError("Cannot run a guest: busybox-static is not installed");
  }
  await Deno.copyFile(busybox, `${tree}/bin/busybox`);
  await Deno.copyFile(`${ROOT}/dist/iouring`, `${tree}/bin/iouring`);
  await Deno.copyFile(await buildWorkload({ static: true }), `${tree}/bin/workload`);
  await Deno.copyFile(`${import.meta.dirname}/guest_init.sh`, `${tree}/init`);
  for (const file of [`${tree}/init`, `${tree}/bin/iouring`]) await Deno.chmod(file, 0o755);
  await Deno.writeTextFile(`${tree}/modes`, modes.join("\n"));
  const initrd = `${dir}/initrd.cpio`;
  const pack = `cd "$1" && find . | cpio -o -H newc --quiet -R 0:0 > "$2"`;
  await run("sh", ["-c", pack, "sh", tree, initrd]);
  await Deno.remove(tree, { recursive: true });
  return initrd;
}

if (import.meta.main) {
  const [name = "6.12", ...modes] = Deno.args;
  const result = await captureInVm(name, modes.length > 0 ? modes : ["all"]);
  const dir = `${CACHE}/live/vm-${name}`;
  for (const [key, text] of Object.entries(result)) {
    await Deno.writeTextFile(`${dir}/${key}.txt`, text);
  }
  Deno.stdout.writeSync(new TextEncoder().encode(`${result.check}${result.errors}`));
}
