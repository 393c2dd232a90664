import assert from "node:assert/strict";
import { Guest } from "./qemu.ts";
import { CommandError } from "./run.ts";

/** What stands in for QEMU: it answers on its QMP socket, and says on the serial lines what it is to. */
const FAKE = `
const socket = Deno.args.find((arg) => arg.startsWith("unix:")).slice(5).split(",")[0];
const [console, truth] = Deno.args.filter((arg) => arg.startsWith("file:")).map((arg) => arg.slice(5));
const [said, told] = Deno.args.at(-1).split(" ").slice(-2);
Deno.writeTextFileSync(console, said.replaceAll("|", "\\r\\n"));
const connection = await Deno.listen({ transport: "unix", path: socket }).accept();
const answer = (text) => connection.write(new TextEncoder().encode(text + "\\n"));
await answer("{}");
const buffer = new Uint8Array(4096);
while (await connection.read(buffer) !== null) {
  await answer('{"return": {}}');
  if (told === "end") Deno.exit();
  Deno.writeTextFileSync(truth, "one\\n" + told + "\\n");
}
`;

/** Runs a guest that says on its console `said`, `|` between lines, and then `told`. */
async function withFakeGuest(said: string, told: string, test: (guest: Guest) => Promise<void>) {
  const dir = await Deno.makeTempDir({ prefix: "iouring_test_" });
  const path = Deno.env.get("PATH")!;
  try {
    await Deno.writeTextFile(`${dir}/fake.js`, FAKE);
    const run = `#!/bin/sh\nexec '${Deno.execPath()}' run -A --no-lock '${dir}/fake.js' "$@"\n`;
    await Deno.writeTextFile(`${dir}/qemu-system-x86_64`, run, { mode: 0o755 });
    Deno.env.set("PATH", `${dir}:${path}`);
    const guest = await Guest.start({
      dir,
      vmlinuz: "/kernels/5.10/vmlinuz",
      initrd: "none",
      paging: 4,
      memory: 1,
      vmcoreinfo: false,
      append: `${said} ${told}`,
    });
    try {
      await test(guest);
    } finally {
      await guest.quit();
    }
  } finally {
    Deno.env.set("PATH", path);
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("Guest.waitFor() gives what the guest said up to the marker", async () => {
  await withFakeGuest("Booting", "READY", async (guest) => {
    assert.equal(await guest.waitFor("READY"), "one\nREADY\n");
  });
});

Deno.test("Guest.waitFor() names the kernel and the console's end where the guest ended", async () => {
  await withFakeGuest("1|2|3|4|5|Oops|panic", "end", async (guest) => {
    await assert.rejects(guest.waitFor("READY"), (error) => {
      assert.ok(error instanceof CommandError);
      assert.match(
        error.message,
        /^Guest of "\/kernels\/5.10\/vmlinuz" ended before it said "READY"; the last lines of .*\/console.log:\n3\n4\n5\nOops\npanic$/,
      );
      return true;
    });
  });
});
