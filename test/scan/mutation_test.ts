/**
 * Scans real images with words of their memory overwritten by hostile values: nothing but
 * {@linkcode ImageError} may be thrown, every record keeps its types, and no run reads without end.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ImageError } from "../../lib/memory/image_error.ts";
import type { IOUringStatus, StreamRecord } from "../../lib/record/records.ts";
import { scanImage } from "../../lib/scan/scan_image.ts";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { checkRecord, DamagedImage, Random } from "./mutations.ts";

/** Each with other damage, of each image. */
const RUNS = 4;

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
      for (let seed = 1; seed <= RUNS; seed++) {
        const damage = image.damage(new Random(seed));
        try {
          assertScans(image);
        } catch (error) {
          if (error instanceof Error) {
            error.message = `${fixture}, seed ${seed}: ${damage}: ${error.message}`;
          }
          throw error;
        }
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
