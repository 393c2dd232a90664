/** A value that JSON can hold. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** An object under construction; its keys keep the order they were added in. */
export type JsonObject = { [key: string]: JsonValue };
