import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { FrameType, decode, encode, frame } from "../src/rumor.js";

interface Vector {
  note: string;
  type: string;
  hex: string;
  decoded: { to: string[]; headers: Record<string, string>; data: unknown };
}

const { vectors } = JSON.parse(
  readFileSync("../tests/fixtures/signaling/rumor-vectors.json", "utf8"),
) as { vectors: Vector[] };

test("there are captured frames to compare with", () => assert.ok(vectors.length >= 12));

for (const { note, type, hex, decoded } of vectors) {
  test(`a captured frame decodes and encodes to itself: ${note}`, () => {
    const bytes = Uint8Array.from(Buffer.from(hex, "hex"));
    const one = decode(bytes);
    assert.ok(one);
    assert.equal(one.type, FrameType[(type[0] + type.slice(1).toLowerCase()) as keyof typeof FrameType]);
    assert.deepEqual(one.addresses, decoded.to);
    assert.deepEqual(Object.fromEntries(one.headers), decoded.headers);
    const payload = typeof decoded.data === "string" ? one.payload : JSON.parse(one.payload);
    assert.deepEqual(payload, decoded.data ?? "");
    assert.equal(Buffer.from(encode(one)).toString("hex"), hex);
  });
}

test("a frame cut anywhere before its payload is refused and nothing throws", () => {
  const whole = encode(frame(FrameType.Message, { addresses: ["ä"], headers: { name: "value" } }));
  for (let length = 0; length < whole.length; length += 1) {
    assert.equal(decode(whole.subarray(0, length)), undefined, `${length} bytes`);
  }
  assert.ok(decode(whole));
});

test("a frame of an unknown type is refused", () => {
  const bytes = encode(frame(FrameType.Ping));
  bytes[6] = 5;
  assert.equal(decode(bytes), undefined);
});

test("lengths count bytes, not characters", () => {
  const one = frame(FrameType.Message, { addresses: ["é€😀"], headers: { ü: "" }, payload: "grüße" });
  assert.deepEqual(decode(encode(one)), one);
});

test("a text that does not fit its length field is not sent", () => {
  assert.throws(() => encode(frame(FrameType.Message, { addresses: ["x".repeat(65_536)] })), RangeError);
});
