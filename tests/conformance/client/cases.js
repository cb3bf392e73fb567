// What a client has to do for nothing to be lost, and nothing to be shown twice.
import assert from 'node:assert/strict'
import { cursor, notification, TOKEN } from '../src/peer.js'
import { until } from '../src/run.js'
import { sleep } from '../src/socket.js'
import { OPCODE } from '../src/wire.js'

const range = (count) => Array.from({ length: count }, (_, n) => `n${n + 1}`)

/** It does not come back. */
async function staysAway(stage, ms) {
  const before = stage.peer.attempts.length
  await sleep(ms)
  assert.equal(stage.peer.attempts.length, before, 'it came back')
}

/** Closed with this code: it comes back, in so many ms at most. */
async function comesBack(stage, connection, code, within) {
  const began = Date.now()
  if (code === undefined) connection.socket.cut()
  else connection.socket.close(code, 'a test')
  const next = await stage.peer.next(within)
  return { next, ms: next.at - began }
}

const stop = 'stop, but for 4008: who can read that is there again.'

export default [
  {
    name: 'offers-the-protocol-and-its-token',
    says: 'with `Sec-WebSocket-Protocol: carillon.v1` its superset',
    async run(stage) {
      const { protocols, token, query } = await stage.connect()
      assert.ok(protocols.includes('carillon.v1'), `${protocols}`)
      assert.equal(token ?? 'in a frame', TOKEN)
      assert.equal(query.token, undefined, 'not in the address, which proxies log')
    },
  },
  {
    name: 'handles-in-order',
    says: 'from there on notifications come as they are sent',
    async run(stage) {
      const connection = await stage.begin(300)
      for (let n = 301; n <= 400; n++) connection.send(notification(n))
      assert.deepEqual(await stage.handles(400), range(400))
    },
  },
  {
    name: 'answers-ping-frames',
    says: 'Browsers answer by themselves; other clients must (RFC 6455 section 5.5.2).',
    async run(stage) {
      const { socket } = await stage.begin()
      socket.raw(OPCODE.ping, 'payload')
      await until(() => socket.all.some(({ pong }) => pong === 'payload'), () => 'no pong with the payload')
    },
  },
  {
    name: 'acks-what-it-handled-and-nothing-else',
    says: 'everything up to this cursor is handled: of the inbox, of the broadcasts or of a channel, whichever the cursor is of',
    async run(stage) {
      const connection = await stage.begin()
      // Each ack with how many had been sent by then.
      const acks = []
      const look = (sent) => {
        for (const acked of connection.acks.splice(0)) acks.push({ acked, n: Number(acked.split('-')[0]) - 1000, sent })
      }
      for (let n = 1; n <= 10; n++) {
        connection.send(notification(n))
        await sleep(60)
        look(n)
      }
      await until(() => {
        look(10)
        return acks.some(({ acked }) => acked === cursor(10))
      }, () => `acked: ${JSON.stringify(acks)}`, 8_000)
      for (const { acked, n, sent } of acks) assert.ok(acked === cursor(n) && n <= sent, `${acked} is acked, and ${cursor(sent)} was the last that was sent`)
      assert.deepEqual(await stage.handles(10), range(10))
      const order = acks.map(({ n }) => n)
      assert.deepEqual(order, [...order].sort((a, b) => a - b), 'forward only')
    },
  },
  {
    name: 'shows-each-once',
    says: 'Cursors and ids are opaque: resume by cursor, remove duplicates by id.',
    async run(stage) {
      const connection = await stage.begin()
      for (const n of [1, 2, 1, 2, 3, 3]) connection.send(notification(n))
      await stage.handles(3)
      const { next } = await comesBack(stage, connection, undefined, 10_000)
      next.query.since = cursor(0)
      next.begin(5)
      await stage.handles(5)
      await sleep(300)
      assert.deepEqual(stage.handled, range(5))
    },
  },
  {
    name: 'recovers-by-cursor',
    says: '`since` is no ack: a client whose last ack may have been lost with its connection asks from one position earlier, knows by its `id` what comes again, and acks it again.',
    async run(stage) {
      let connection = await stage.begin()
      let sent = 0
      for (let round = 0; round < 3; round++) {
        for (let n = 0; n < 3; n++) connection.send(notification(++sent))
        await stage.handles(sent)
        const { next } = await comesBack(stage, connection, undefined, 10_000)
        assert.ok([cursor(sent), cursor(sent - 1)].includes(next.query.since), `since=${next.query.since} after ${cursor(sent)}`)
        sent += 2
        connection = next.begin(sent)
        await stage.handles(sent)
      }
      assert.deepEqual(stage.handled, range(sent))
      await until(() => connection.acks.includes(cursor(sent)), () => `acked: ${connection.acks}`)
    },
  },
  {
    name: 'recovers-without-a-notification-before',
    says: 'v1: the last `cursor` that the client handled.',
    async run(stage) {
      const connection = await stage.begin(0, { cursor: cursor(0) })
      await sleep(100)
      const { next } = await comesBack(stage, connection, undefined, 10_000)
      assert.equal(next.query.since, cursor(0), 'the cursor of `welcome`')
      next.begin(2)
      assert.deepEqual(await stage.handles(2), range(2))
    },
  },
  {
    name: 'keeps-its-session',
    says: 'one tab over its reconnects, named like a device',
    async run(stage) {
      const connection = await stage.begin()
      await sleep(100)
      const { next } = await comesBack(stage, connection, undefined, 10_000)
      assert.equal(next.query.session, connection.query.session ?? 's1')
    },
  },
  {
    name: 'goes-on-behind-a-gap',
    says: '`recovered: false` and a `gap` say that something cannot be had any more; go on from `resume`.',
    async run(stage) {
      const connection = await stage.begin(3)
      await stage.handles(3)
      const { next } = await comesBack(stage, connection, undefined, 10_000)
      next.query.since = cursor(10)
      next.begin(10, { recovered: false })
      next.send({ type: 'gap', channel: null, reason: 'rewound', resume: '1010-8' })
      await sleep(200)
      const { next: last } = await comesBack(stage, next, undefined, 10_000)
      assert.equal(last.query.since, '1010-8')
    },
  },
  {
    name: 'goes-on-with-its-channel',
    says: '`since` replays what followed',
    async run(stage) {
      const connection = (await stage.connect({ channel: 'orders' })).begin()
      await until(() => connection.subscribed.length, () => 'it did not subscribe')
      const { channel, ref } = connection.subscribed[0]
      assert.equal(channel, 'orders')
      connection.send({ type: 'subscribed', channel, ref, cursor: '5000-3', recovered: true })
      const ofChannel = (n) => notification(n, { target_user: null, channel, cursor: `${5000 + n}-3` })
      connection.send(ofChannel(1))
      connection.send(ofChannel(2))
      await stage.handles(2)
      await sleep(100)
      const { next } = await comesBack(stage, connection, undefined, 10_000)
      next.begin()
      await until(() => next.subscribed.length, () => 'it did not subscribe again')
      const again = next.subscribed[0]
      assert.ok(['5001-3', '5002-3'].includes(again.since), `since ${again.since}`)
      next.send({ type: 'subscribed', channel, ref: again.ref, cursor: again.since, recovered: true })
      for (const n of [2, 3]) next.send(ofChannel(n))
      assert.deepEqual(await stage.handles(3), range(3))
    },
  },
  {
    name: 'leaves-when-asked-within-the-spread',
    says: 'leave for another gateway after `after_ms` and a random part of `spread_ms`; at `deadline_ms` this connection is closed.',
    async run(stage) {
      let connection = await stage.begin()
      let sent = 0
      const delays = []
      for (let round = 0; round < 6; round++) {
        connection.send(notification(++sent))
        await stage.handles(sent)
        const began = Date.now()
        connection.send({ type: 'reconnect', reason: 'draining', after_ms: 300, spread_ms: 600, deadline_ms: 5_000 })
        const next = await stage.peer.next(3_000)
        delays.push(next.at - began)
        assert.equal(connection.socket.end, undefined, 'the next connection is opened before the old one is left')
        connection = next.begin(sent)
        await sleep(50)
      }
      for (const ms of delays) assert.ok(ms >= 290 && ms <= 900 + 400, `after ${delays} ms`)
      assert.ok(Math.max(...delays) - Math.min(...delays) > 40, `a random part: ${delays} ms`)
      assert.deepEqual(stage.handled, range(sent))
      await until(() => stage.peer.connections.filter(({ socket }) => !socket.end).length === 1, () => 'old connections are still open')
    },
  },
  ...[4001, 4003, 4010].map((code) => ({
    name: `stops-at-${code}`,
    says: stop,
    async run(stage) {
      const connection = await stage.begin()
      await sleep(100)
      connection.socket.close(code, 'a test')
      await staysAway(stage, 3_500)
    },
  })),
  {
    name: 'comes-back-from-4008',
    says: stop,
    async run(stage) {
      await comesBack(stage, await stage.begin(), 4008, 10_000)
    },
  },
  {
    name: 'backs-off-at-41xx',
    says: '41xx: come back with a growing pause.',
    async run(stage) {
      let connection = await stage.begin()
      const pauses = []
      const end = Date.now() + 7_000
      for (const code of [4100, 4102, 4103, 4100, 4102, 4103, 4100, 4102, 4103, 4100]) {
        await sleep(50)
        const { next, ms } = await comesBack(stage, connection, code, 20_000)
        pauses.push(ms)
        connection = next.begin()
        if (Date.now() > end) break
      }
      assert.ok(Math.min(...pauses) >= 200, `not at once: ${pauses} ms`)
      assert.ok(pauses.length <= 7, `so often in 7 s: ${pauses} ms`)
      assert.ok(Math.max(...pauses) > 1_000, `growing: ${pauses} ms`)
    },
  },
  {
    name: 'comes-back-at-once-from-42xx',
    says: '42xx: come back now.',
    async run(stage) {
      const connection = await stage.begin()
      await sleep(100)
      const { ms } = await comesBack(stage, connection, 4200, 10_000)
      assert.ok(ms < 900, `after ${ms} ms`)
    },
  },
  {
    name: 'does-not-hammer-at-42xx',
    says: '42xx: come back now.',
    async run(stage) {
      let connection = await stage.begin()
      const end = Date.now() + 4_000
      while (Date.now() < end) {
        connection.socket.close(4203, 'a test')
        connection = await stage.peer.next(20_000)
        connection.begin()
        await sleep(20)
      }
      assert.ok(stage.peer.attempts.length < 12, `${stage.peer.attempts.length} attempts in 4 s`)
    },
  },
  ...[1001, 1006, 1011, 1012, 3000, 4999].map((code) => ({
    name: `comes-back-from-${code}`,
    says: 'Everything else (4008, too), and no close frame at all: come back with a pause.',
    async run(stage) {
      const connection = await stage.begin()
      await sleep(100)
      const { next } = await comesBack(stage, connection, code === 1006 ? undefined : code, 10_000)
      next.begin(1)
      assert.deepEqual(await stage.handles(1), range(1))
    },
  })),
  {
    name: 'comes-back-after-503',
    says: 'At a limit the answer is HTTP 503 with `Retry-After`',
    async run(stage) {
      const connection = await stage.begin()
      await sleep(100)
      stage.peer.refusals = 2
      connection.socket.cut()
      const next = await stage.peer.next(25_000)
      next.begin(1)
      assert.deepEqual(await stage.handles(1), range(1))
    },
  },
  {
    name: 'finds-out-that-a-gateway-is-dead',
    says: '`{"type":"ping"}` is for clients that want to know whether the gateway lives.',
    async run(stage) {
      const connection = await stage.connect()
      connection.isFrozen = true
      connection.begin(0, { ping_interval_ms: 1_000 })
      await stage.peer.next(30_000)
    },
  },
  {
    name: 'ignores-what-it-does-not-know',
    says: 'Ignore fields and types that you do not know.',
    async run(stage) {
      const connection = await stage.begin(1, { features: ['later'], limits: { frame_bytes: 65_536, channels: 100, frames_per_second: 20, inbox: 1_000, later: {} } })
      for (const frame of [{ type: 'later' }, { type: 'presence', users: [] }, { type: 'retracted', ids: ['n1'], deep: { er: [1] } }, { type: 'acked', cursor: cursor(1) }]) {
        connection.send(frame)
      }
      connection.send(notification(2, { later: { deep: [null] }, priority: 'high' }))
      connection.send({ type: 'gap', channel: null, reason: 'later', resume: cursor(2) })
      connection.send(notification(3, { type: 'later.still' }))
      assert.deepEqual(await stage.handles(3), range(3))
      assert.equal(connection.socket.end, undefined, 'it stayed connected')
    },
  },
  {
    name: 'tells-notifications-by-their-id',
    says: 'Notifications have an `id`, control frames never do.',
    async run(stage) {
      const connection = await stage.begin()
      // None of these is sent by a server that keeps the rule for types; whoever looks at `id` first is safe all the same.
      ;['error', 'reconnect', 'pong'].forEach((type, n) => connection.send(notification(n + 1, { type, code: 4003, deadline_ms: 0 })))
      assert.deepEqual(await stage.handles(3), range(3))
      assert.equal(connection.socket.end, undefined, 'it stayed connected')
    },
  },
]
