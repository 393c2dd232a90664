import assert from "node:assert/strict";
import { openImage, withFolder } from "./open_image.ts";

Deno.test("MappedImage has the files beside a .vmem, and closes them with it", () => {
  withFolder((folder) => {
    for (const name of ["a.vmem", "a.vmss", "b.raw", "b.vmss"]) {
      Deno.writeTextFileSync(`${folder}/${name}`, name);
    }
    const image = openImage(`${folder}/a.vmem`);
    const state = image.beside("vmss")!;
    assert.equal(new TextDecoder().decode(state.bytes), "a.vmss");
    assert.equal(image.beside("vmsn"), undefined);
    image.close();
    assert.equal(state.bytes.length, 0);
    using raw = openImage(`${folder}/b.raw`);
    assert.equal(raw.beside("vmss"), undefined);
  });
});
