/**
 * Scans real images with words of their memory overwritten by hostile values: nothing but
 * {@linkcode ImageError} may be thrown, every record keeps its types, and no run takes long.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { cpuUsage } from "node:process";
import { ImageError } from "../../lib/memory/image_error.ts";
import type { IOUringStatus, StreamRecord } from "../../lib/record/records.ts";
import { scanImage } from "../../lib/scan/scan_image.ts";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { checkRecord, DamagedImage, Random } from "./mutations.ts";

/** Time for all images together. */
const TIME_MS = 10_000;
/** CPU time for one run, whatever else runs on the machine. */
const RUN_CPU_MS = 10_000;
const MIN_RUNS = 3;

const fixtures = imageFixtures();

Deno.test({
  name: fixtures.length > 0
    ? "scanImage() holds its promises on damaged images"
    : "scanImage() holds its promises on damaged images (there is no image in fixtures/)",
  ignore: fixtures.length === 0,
  fn() {
    for (const fixture of fixtures) {
      const bytes = new Uint8Array(readFileSync(unpackFixture(fixture)));
      const image = new DamagedImage(bytes, fixture);
      const end = performance.now() + TIME_MS / fixtures.length;
      for (let seed = 1; seed <= MIN_RUNS || performance.now() < end; seed++) {
        const damage = image.damage(new Random(seed));
        const where = `${fixture}, seed ${seed}: ${damage}`;
        const start = cpuUsage();
        try {
          assertScans(image);
        } catch (error) {
          if (error instanceof Error) error.message = `${where}: ${error.message}`;
          throw error;
        }
        const { user, system } = cpuUsage(start);
        const took = (user + system) / 1000;
        assert.ok(took < RUN_CPU_MS, `${where}: it took ${took} ms`);
        image.restore();
      }
    }
  },
});

function assertScans({ image }: DamagedImage): void {
  const options = { now: () => 0, tool: { version: "", build: "" }, argv: [] };
  let last: StreamRecord | undefined;
  try {
    for (const batch of scanImage(image, options)) {
      for (const record of batch) {
        checkRecord(record);
        last = record;
      }
    }
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    assert.match(error.message, /^Cannot [^\n]*$/);
    return;
  }
  assert.equal((last as IOUringStatus).phase, "end");
}
