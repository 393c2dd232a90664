/**
 * The live capture on another kernel: boots it under QEMU with the built program and the workload,
 * and hands back what both said.
 *
 * @module
 */

import { gunzipSync } from "node:zlib";
import { fetchKernel, LAB_KERNELS } from "../vm/kernels.ts";
import { Guest } from "../vm/qemu.ts";
import { LabUnavailableError, run } from "../vm/run.ts";
import { buildWorkload } from "./workload.ts";

const ROOT = `${import.meta.dirname}/../..`;
const CACHE = `${ROOT}/.cache`;
/** What the runtime loads, beside the C library's own parts that newer ones have in one. */
const RUNTIME_LIBRARIES = /=> (\/\S+)|^\s*(\/lib64\/ld-\S+)/;

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
  const fetched = await fetchKernel(kernel, `${await Deno.realPath(CACHE)}/lab`);
  const initrd = await makeInitrd(dir, modes);
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

async function makeInitrd(dir: string, modes: readonly string[]): Promise<string> {
  const tree = `${dir}/initrd`;
  await Deno.remove(tree, { recursive: true }).catch(() => {});
  await Deno.mkdir(`${tree}/bin`, { recursive: true });
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
  const libraries = await run("ldd", [Deno.execPath()]);
  for (const line of libraries.split("\n")) {
    const path = RUNTIME_LIBRARIES.exec(line)?.slice(1).find((found) => found !== undefined);
    if (path === undefined) continue;
    await Deno.mkdir(`${tree}${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
    await Deno.copyFile(path, `${tree}${path}`);
  }
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
