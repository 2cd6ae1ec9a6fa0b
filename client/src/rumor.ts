// Rumor: the binary framing of the websocket. One binary message is one frame.
//
//   u32 length of the rest · u16 reserved · u8 type · u8 addresses · { u16 len, text }…
//   · u8 headers · { u16 len, name, u16 len, value }… · payload text up to the end

/** Frame types by their number on the wire. */
export const FrameType = {
  Subscribe: 0,
  Unsubscribe: 1,
  Message: 2,
  Connect: 3,
  Disconnect: 4,
  Ping: 7,
  Pong: 8,
  Status: 9,
} as const;

export type FrameType = (typeof FrameType)[keyof typeof FrameType];

const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(FrameType));

/** One frame. Header names are case-sensitive. */
export interface Frame {
  readonly type: FrameType;
  readonly addresses: readonly string[];
  readonly headers: ReadonlyMap<string, string>;
  readonly payload: string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A frame with what is not given left empty. */
export function frame(
  type: FrameType,
  parts: { addresses?: readonly string[]; headers?: Record<string, string>; payload?: string } = {},
): Frame {
  return {
    type,
    addresses: parts.addresses ?? [],
    headers: new Map(Object.entries(parts.headers ?? {})),
    payload: parts.payload ?? "",
  };
}

/** Bytes of a frame. Throws a `RangeError` when a count or a text does not fit its length field. */
export function encode({ type, addresses, headers, payload }: Frame): Uint8Array<ArrayBuffer> {
  if (addresses.length > 0xff || headers.size > 0xff) throw new RangeError("too many addresses or headers");
  const texts = [...addresses, ...[...headers].flat()].map((text) => encoder.encode(text));
  const body = encoder.encode(payload);
  const size = 9 + texts.reduce((sum, text) => sum + 2 + text.length, 0) + body.length;

  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size - 4);
  bytes[6] = type;
  bytes[7] = addresses.length;
  let at = 8;
  texts.forEach((text, index) => {
    if (index === addresses.length) bytes[at++] = headers.size;
    if (text.length > 0xffff) throw new RangeError("a text is longer than its length field can say");
    view.setUint16(at, text.length);
    bytes.set(text, at + 2);
    at += 2 + text.length;
  });
  if (headers.size === 0) at += 1;
  bytes.set(body, at);
  return bytes;
}

/** The frame in one websocket message, or nothing if it is cut short or of an unknown type. */
export function decode(message: ArrayBuffer | Uint8Array): Frame | undefined {
  const bytes = message instanceof Uint8Array ? message : new Uint8Array(message);
  const reader = new Reader(bytes);
  try {
    reader.skip(6);
    const type = reader.u8();
    if (!KNOWN_TYPES.has(type)) return undefined;
    const addresses = Array.from({ length: reader.u8() }, () => reader.text());
    const headers = new Map(
      Array.from({ length: reader.u8() }, () => [reader.text(), reader.text()] as const),
    );
    return { type: type as FrameType, addresses, headers, payload: reader.rest() };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Reads forward; throws a `RangeError` at the end. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  skip(count: number): void {
    this.#at += count;
  }

  u8(): number {
    return this.#view.getUint8(this.#at++);
  }

  text(): string {
    const length = this.#view.getUint16(this.#at);
    const begin = this.#at + 2;
    const end = begin + length;
    if (end > this.#bytes.length) throw new RangeError("cut short");
    this.#at = end;
    return decoder.decode(this.#bytes.subarray(begin, end));
  }

  rest(): string {
    return decoder.decode(this.#bytes.subarray(this.#at));
  }
}
