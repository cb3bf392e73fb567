// The simple protocol: exactly its frames, and nothing else.
import { sleep } from '../src/socket.js'
import { assert, ids, nothing, take } from '../src/stage.js'

const FIELDS = ['channel', 'content', 'data', 'id', 'target_user', 'timestamp', 'type']
const SIMPLE = { protocols: [] }
/** Until a pong counts as an ack, and is with the store. */
const CONFIRMED_MS = 2_500

const fields = (frame) => Object.keys(frame).sort()

export default [
  {
    name: 'simple-says-nothing-unasked',
    says: 'Without a subprotocol the connection speaks the **simple protocol**',
    async run(stage) {
      const socket = await stage.open(SIMPLE)
      assert.deepEqual((await socket.quiet(700)).filter(({ id }) => !id), [])
    },
  },
  {
    name: 'simple-answers',
    says: '**`ref`** (v1)',
    async run(stage) {
      const socket = await stage.open(SIMPLE)
      const channel = stage.name('c')
      socket.send({ type: 'ping' })
      const pong = await socket.control('pong')
      assert.deepEqual(fields(pong), ['timestamp', 'type'])
      socket.send({ type: 'subscribe', channel })
      assert.deepEqual(await socket.control('subscribed'), { type: 'subscribed', channel })
      const id = await stage.publish(channel)
      const came = await socket.notification()
      assert.deepEqual([came.id, fields(came)], [id, FIELDS])
      socket.send({ type: 'unsubscribe', channel })
      await stage.publish(channel)
      assert.deepEqual((await socket.quiet(700)).filter((frame) => frame.type === 'unsubscribed' || frame.channel === channel), [], 'no answer, and nothing more')
    },
  },
  {
    name: 'simple-notification',
    says: '"stored_at" as well when it was replayed from the inbox',
    async run(stage) {
      const missed = await stage.send({ content: 'missed' })
      const socket = await stage.open(SIMPLE)
      const first = await socket.notification()
      assert.deepEqual([first.id, fields(first)], [missed, [...FIELDS, 'stored_at'].sort()])
      const id = await stage.send({ notification_type: 'order.shipped', content: 'live', data: { order: 1 } })
      const live = await socket.notification()
      assert.deepEqual([live.id, fields(live), live.type, live.content, live.data, live.target_user],
        [id, FIELDS, 'order.shipped', 'live', { order: 1 }, stage.user])
    },
  },
  {
    name: 'simple-pong-is-the-ack',
    says: 'the gateway pings after its notifications, and the pong of a browser, which it sends by itself and in order, is the ack',
    async run(stage) {
      const socket = await stage.open({ ...SIMPLE, device: 'phone' })
      await stage.sendMany(3)
      await take(socket, 3)
      await sleep(CONFIRMED_MS)
      socket.cut()
      const next = await stage.send()
      const again = await stage.open({ ...SIMPLE, device: 'phone' })
      assert.equal((await again.notification()).id, next)
      await nothing(again, 300)
    },
  },
  {
    name: 'simple-without-pong-comes-again',
    says: 'A client of the simple protocol acks without knowing',
    async run(stage) {
      const socket = await stage.open({ ...SIMPLE, device: 'phone', answersPings: false })
      const sent = await stage.sendMany(3)
      await take(socket, 3)
      socket.cut()
      const again = await stage.open({ ...SIMPLE, device: 'phone' })
      assert.deepEqual(ids(await take(again, 3)), sent)
    },
  },
  {
    name: 'simple-subscriptions-come-back',
    says: 'Its subscriptions come back with the user\'s next simple connection, for 10 minutes, if the old one ended without a close frame of the client\'s: without a `subscribed`, from where it was.',
    async run(stage) {
      const channel = stage.name('c')
      const socket = await stage.open(SIMPLE)
      socket.send({ type: 'subscribe', channel })
      await socket.control('subscribed')
      await sleep(300)
      socket.cut()
      const missed = await stage.publish(channel)
      const again = await stage.open(SIMPLE)
      await again.next(({ frame }) => frame?.id === missed, 8_000, 'what was missed')
      const id = await stage.publish(channel)
      await again.next(({ frame }) => frame?.id === id)
      assert.equal(again.all.some(({ frame }) => frame?.type === 'subscribed'), false)
    },
  },
  {
    name: 'simple-has-no-acks',
    says: '`ack` and `auth` need `carillon.v1`',
    async run(stage) {
      const socket = await stage.open(SIMPLE)
      for (const frame of [{ type: 'ack', cursor: '1-1' }, { type: 'auth', token: 'x' }]) {
        socket.send(frame)
        assert.equal((await socket.control('error')).code, 'not_in_simple')
      }
      socket.send({ type: 'ping' })
      await socket.control('pong')
    },
  },
]
