import assert from "node:assert/strict";
import { listForEachEntry } from "../../lib/kernel/lists.ts";
import { readClock } from "../../lib/scan/clock.ts";
import type { ScanContext } from "../../lib/scan/context.ts";
import { Diagnostics } from "../../lib/scan/diagnostics.ts";
import { findRings, findSubmitters, type FoundRing } from "../../lib/scan/find_rings.ts";
import { listProcesses } from "../../lib/scan/tasks.ts";
import { PatchedImage } from "./patched_image.ts";

for (const fixture of ["6.1-4level.elf", "6.12-4level.elf"]) {
  Deno.test(`findSubmitters() reads from rings of ${fixture} what tasks lead to, or says why not`, () => {
    const image = new PatchedImage(fixture);
    const { program } = image;
    const context = (): ScanContext => ({
      program,
      clock: readClock(program),
      diagnostics: new Diagnostics(),
    });
    const processes = listProcesses(context());
    // The process that an SQPOLL thread is of need not submit.
    const reached = findRings(context(), processes)
      .filter(({ foundBy }) => foundBy.has("tctx") && !foundBy.has("sqpoll"));
    assert.ok(reached.length > 50, `${reached.length} rings`);
    const alone = reached.map((ring): FoundRing => ({ ...ring, submitters: new Set() }));
    const good = context();
    findSubmitters(good, alone, processes);
    assert.deepEqual(good.diagnostics.list(), []);
    const pids = ({ submitters }: FoundRing) => [...submitters].map(({ pid }) => pid).sort();
    assert.deepEqual(alone.map(pids), reached.map(pids));

    const { ctx } = alone[0]!;
    image.writeWord(ctx.addressOf("tctx_list"), 0x1234_5678n);
    const broken = context();
    findSubmitters(broken, alone, processes);
    const [diagnostic, ...more] = broken.diagnostics.list();
    assert.deepEqual([diagnostic?.code, more], ["submitters_unreadable", []]);
    assert.ok(diagnostic!.message.includes(ctx.address.toString(16)), diagnostic!.message);
    assert.ok(broken.diagnostics.incomplete);
  });
}

Deno.test("findRings() takes nothing for a ring that lies where none can be", () => {
  const image = new PatchedImage("6.12-4level.elf");
  const { program } = image;
  const find = () => {
    const diagnostics = new Diagnostics();
    const context = { program, clock: readClock(program), diagnostics };
    return { rings: findRings(context, listProcesses(context)), diagnostics };
  };
  const { rings } = find();
  const entry = { type: "io_tctx_node", member: "ctx_node", limit: 10 };
  const [[ring, node] = []] = rings.filter(({ foundBy }) => foundBy.has("tctx")).flatMap((one) => {
    const nodes = [...listForEachEntry(program, one.ctx.addressOf("tctx_list"), entry)];
    return nodes.length === 1 ? [[one, nodes[0]!] as const] : [];
  });
  const { address } = ring!.ctx;
  const text = program.symbols.lookup("_stext")!;
  for (const wrong of [text, text + 0x3d0n, address + 8n]) {
    image.writeWord(node!.addressOf("ctx"), wrong);
    const { rings: found, diagnostics } = find();
    assert.equal(found.length, rings.length);
    const routes = found.find(({ ctx }) => ctx.address === address)!.foundBy;
    assert.ok(!routes.has("tctx") && routes.size > 0);
    const [diagnostic, ...more] = diagnostics.list();
    assert.deepEqual([diagnostic?.code, more], ["ring_pointer_absurd", []]);
    assert.ok(diagnostic!.message.includes(wrong.toString(16)), diagnostic!.message);
    assert.ok(diagnostics.incomplete);
  }
});
