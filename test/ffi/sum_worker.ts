/// <reference lib="webworker" />
/** Sums an image's bytes twice, reporting each sum; the second pass meets a shrinking file. */
import { openImage } from "./open_image.ts";

self.onmessage = ({ data: path }: MessageEvent<string>) => {
  using image = openImage(path);
  for (let pass = 0; pass < 2; pass++) {
    const { bytes } = image;
    let sum = 0;
    do {
      sum = 0;
      for (let i = 0; i < bytes.length; i++) sum += bytes[i]!;
    } while (pass === 1 && !image.shrank);
    self.postMessage(sum);
  }
};
