// Ends of connections, pings, and what is too much.
import { skip } from '../src/run.js'
import { Refused, sleep } from '../src/socket.js'
import { assert, take } from '../src/stage.js'
import { OPCODE } from '../src/wire.js'

/** What a connection is closed with after this. */
const closes = (code, says, name, act, wish) => ({
  name, says,
  async run(stage) {
    const { socket, welcome } = await stage.begin(wish)
    act(socket, welcome)
    const end = await socket.ended()
    assert.equal(end.code, code, `${end.code} ${end.reason}`)
  },
})

/** The server's own pings cannot be hurried. */
const notTooLong = (stage, ms) => ms > 6_000 && !stage.server.isSlow && skip(`takes ${ms / 1000} s: --slow, or shorter settings`)

export default [
  closes(1000, 'the answer to a client\'s close', 'close-is-answered', (socket) => socket.close(1000)),
  closes(1003, 'a binary frame', 'binary', (socket) => socket.raw(OPCODE.binary, 'x')),
  closes(1007, 'text that is not UTF-8', 'not-utf-8', (socket) => socket.raw(OPCODE.text, Buffer.from([0x22, 0xff, 0x22]))),
  closes(1009, 'a message of more than `limits.frame_bytes` (64 KiB)', 'frame-too-big',
    (socket, { limits }) => socket.raw(OPCODE.text, `{"type":"ping","ref":"${' '.repeat(limits.frame_bytes)}"}`)),
  closes(1002, 'what RFC 6455 does not allow: unmasked, reserved bits or opcodes, broken fragments', 'unmasked',
    (socket) => socket.raw(OPCODE.text, '{"type":"ping"}', { isMasked: false })),
  closes(1002, 'what RFC 6455 does not allow: unmasked, reserved bits or opcodes, broken fragments', 'reserved-bits',
    (socket) => socket.raw(OPCODE.text, '{"type":"ping"}', { reserved: 4 })),
  closes(1002, 'what RFC 6455 does not allow: unmasked, reserved bits or opcodes, broken fragments', 'reserved-opcode',
    (socket) => socket.raw(3, 'x')),
  closes(1002, 'what RFC 6455 does not allow: unmasked, reserved bits or opcodes, broken fragments', 'broken-fragments',
    (socket) => socket.raw(OPCODE.more, 'x')),
  {
    name: 'parts-of-a-message',
    says: 'One WebSocket (RFC 6455), text frames of JSON',
    async run(stage) {
      const { socket } = await stage.begin()
      socket.raw(OPCODE.text, '{"type":', { isFinal: false })
      socket.raw(OPCODE.ping, 'between')
      socket.raw(OPCODE.more, '"ping","ref":1}')
      assert.equal((await socket.control('pong')).ref, 1)
    },
  },
  {
    name: 'ping-frames-are-answered',
    says: 'One WebSocket (RFC 6455), text frames of JSON',
    async run(stage) {
      const { socket } = await stage.begin()
      socket.raw(OPCODE.ping, 'payload')
      assert.equal((await socket.next((it) => it.pong !== undefined)).pong, 'payload')
    },
  },
  {
    name: 'server-pings',
    says: 'The gateway pings every 25 s and wants the pong within 10 s.',
    async run(stage) {
      const { socket, welcome: { ping_interval_ms: every } } = await stage.begin()
      notTooLong(stage, every)
      await socket.next((it) => it.ping !== undefined, every + 3_000, 'no ping')
      await socket.next((it) => it.ping !== undefined, every + 3_000, 'no second ping')
    },
  },
  {
    name: 'no-pong',
    says: 'no pong within 10 s, or silence for 150 s',
    async run(stage) {
      const { socket, welcome: { ping_interval_ms: every } } = await stage.begin({ answersPings: false })
      notTooLong(stage, every)
      assert.equal((await socket.ended(every + 13_000)).code, 4008)
    },
  },
  {
    name: 'too-many-frames',
    says: 'more than 20 frames a second, after a burst of 60; acks of what was written apart.',
    async run(stage) {
      const { socket, welcome: { limits } } = await stage.begin()
      for (let n = 0; n < limits.frames_per_second * 10; n++) socket.send({ type: 'ping', ref: n })
      assert.equal((await socket.ended()).code, 4101)
    },
  },
  {
    name: 'too-many-connections',
    says: 'more than 32 connections of the user on a gateway, or 128 on all (`inbox.connections`)',
    alone: true,
    async run(stage) {
      let served = 0
      for (; served < 64; served++) {
        const socket = await stage.open().catch((error) => {
          if (error instanceof Refused && error.status === 503) return undefined
          throw error
        })
        if (!socket) skip(`the server refuses handshakes of one user before that: 503 after ${served}`)
        const first = await socket.next((it) => it.frame || it.end)
        if (!first.end) continue
        assert.equal(first.end.code, 4103)
        return
      }
      skip('more than 64 connections of a user are served')
    },
  },
  {
    name: 'nothing-personal-is-lost-by-a-close',
    says: 'Nothing personal is ever lost by a close.',
    async run(stage) {
      const sent = []
      const came = []
      let since
      for (let round = 0; round < 6; round++) {
        const { socket, missed } = await stage.begin({ device: 'phone', since })
        came.push(...missed)
        sent.push(await stage.send())
        came.push(...await take(socket, 1))
        since = came.at(-1).cursor
        const sending = stage.sendMany(3)
        if (round % 2) socket.cut()
        else socket.raw(OPCODE.binary, 'x')
        sent.push(...await sending)
        await sleep(50)
      }
      const { missed } = await stage.begin({ device: 'phone', since })
      assert.deepEqual([...came, ...missed].map(({ id }) => id), sent)
    },
  },
]
