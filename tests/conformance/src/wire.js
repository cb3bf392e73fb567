// WebSocket frames (RFC 6455, section 5): as much as both sides of a conversation need, and what no library of theirs lets one
// do: break the rules.
import { randomBytes } from 'node:crypto'

export const OPCODE = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 }

/** A frame as bytes. `reserved`: the three bits that nobody may use. */
export function encode(opcode, payload, { isMasked, isFinal = true, reserved = 0 }) {
  const body = Buffer.from(payload)
  const head = [(isFinal ? 0x80 : 0) | (reserved << 4) | opcode]
  const mask = isMasked ? 0x80 : 0
  if (body.length < 126) head.push(mask | body.length)
  else if (body.length < 65_536) head.push(mask | 126, body.length >> 8, body.length & 255)
  else {
    const long = Buffer.alloc(8)
    long.writeBigUInt64BE(BigInt(body.length))
    head.push(mask | 127, ...long)
  }
  if (!isMasked) return Buffer.concat([Buffer.from(head), body])
  const key = randomBytes(4)
  for (let n = 0; n < body.length; n++) body[n] ^= key[n & 3]
  return Buffer.concat([Buffer.from(head), key, body])
}

/** Reads frames out of pieces; parts of messages are put together. */
export class Reader {
  #bytes = Buffer.alloc(0)
  #parts = []
  #opcode = 0

  /** The whole messages and control frames that are there now: `{ opcode, payload }`. */
  read(bytes) {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    const whole = []
    for (let frame = this.#next(); frame; frame = this.#next()) {
      const { opcode, payload, isFinal } = frame
      if (opcode >= OPCODE.close) {
        whole.push({ opcode, payload })
        continue
      }
      if (opcode !== OPCODE.more) this.#opcode = opcode
      this.#parts.push(payload)
      if (!isFinal) continue
      whole.push({ opcode: this.#opcode, payload: Buffer.concat(this.#parts) })
      this.#parts = []
    }
    return whole
  }

  #next() {
    const bytes = this.#bytes
    if (bytes.length < 2) return undefined
    let at = 2
    let length = bytes[1] & 127
    if (length === 126) {
      if (bytes.length < 4) return undefined
      length = bytes.readUInt16BE(2)
      at = 4
    } else if (length === 127) {
      if (bytes.length < 10) return undefined
      length = Number(bytes.readBigUInt64BE(2))
      at = 10
    }
    const isMasked = bytes[1] >= 0x80
    const begin = at + (isMasked ? 4 : 0)
    if (bytes.length < begin + length) return undefined
    const payload = Buffer.from(bytes.subarray(begin, begin + length))
    if (isMasked) for (let n = 0; n < length; n++) payload[n] ^= bytes[at + (n & 3)]
    this.#bytes = bytes.subarray(begin + length)
    return { opcode: bytes[0] & 15, isFinal: bytes[0] >= 0x80, payload }
  }
}
