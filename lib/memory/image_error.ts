/** An image that cannot be used at all: not an image, damaged headers, no kernel in it. */
export class ImageError extends Error {
  override readonly name = "ImageError";
}
