// Coming back: positions, acks, gaps.
import { skip } from '../src/run.js'
import { sleep } from '../src/socket.js'
import { assert, ids, nothing, take } from '../src/stage.js'

/** Acks are gathered by the server for so long, at most. */
const GATHERED_MS = 2_000

/** A connection that acks all of these, and is gone. */
async function ackedBy(stage, wish, count) {
  const { socket, missed } = await stage.begin(wish)
  const all = [...missed, ...await take(socket, count - missed.length)]
  if (all.length) socket.send({ type: 'ack', cursor: all.at(-1).cursor })
  await sleep(GATHERED_MS)
  socket.close()
  await socket.ended()
  return all
}

export default [
  {
    name: 'missed-comes-first-and-in-order',
    says: 'v1 adds `cursor`, `expires_at`, and on replayed ones `replayed` and `stored_at`.',
    async run(stage) {
      const first = await stage.begin({ device: 'phone' })
      first.socket.cut()
      const sent = await stage.sendMany(20)
      const { missed, replayed } = await stage.begin({ device: 'phone' })
      assert.deepEqual(ids(missed), sent)
      assert.equal(replayed.count, 20)
      for (const { replayed: isReplayed, stored_at } of missed) assert.deepEqual([isReplayed, typeof stored_at], [true, 'string'])
    },
  },
  {
    name: 'since-is-where-it-starts',
    says: 'It starts after `since`, or else after what the device has acked; a new device starts at the oldest notification that no device has acked.',
    async run(stage) {
      const { socket } = await stage.begin({ device: 'phone' })
      const sent = await stage.sendMany(5)
      const came = await take(socket, 5)
      socket.cut()
      const after = await stage.begin({ device: 'phone', since: came[2].cursor })
      assert.deepEqual(ids(after.missed), sent.slice(3))
      assert.equal(after.welcome.recovered, true)
    },
  },
  {
    name: 'recovery-without-a-notification-before',
    says: 'It starts after `since`, or else after what the device has acked',
    async run(stage) {
      const { socket, welcome } = await stage.begin()
      socket.cut()
      const sent = await stage.sendMany(3)
      const { missed, welcome: again } = await stage.begin({ since: welcome.cursor })
      assert.deepEqual([ids(missed), again.recovered], [sent, true])
    },
  },
  {
    name: 'since-the-oldest',
    says: '`0-0`: from the oldest that is kept.',
    async run(stage) {
      const sent = await stage.sendMany(3)
      await ackedBy(stage, { device: 'phone' }, 3)
      const { missed } = await stage.begin({ device: 'phone', since: '0-0' })
      assert.deepEqual(ids(missed), sent)
    },
  },
  {
    name: 'since-that-is-none',
    says: 'Unreadable ones are answered with an `error` and ignored',
    async run(stage) {
      const sent = await stage.sendMany(2)
      const socket = await stage.open({ since: 'seven' })
      const came = []
      for (let frame = await socket.frame(); frame.type !== 'replayed' || frame.id; frame = await socket.frame()) came.push(frame)
      assert.equal(came.filter(({ type, id }) => !id && type === 'error').length, 1)
      assert.deepEqual(ids(came.filter(({ id }) => id)), sent)
    },
  },
  {
    name: 'what-was-acked-does-not-come-again',
    says: 'everything up to this cursor is handled: of the inbox, of the broadcasts or of a channel, whichever the cursor is of',
    async run(stage) {
      await stage.sendMany(5)
      await ackedBy(stage, { device: 'phone' }, 5)
      const next = await stage.send()
      assert.deepEqual(ids((await stage.begin({ device: 'phone' })).missed), [next])
    },
  },
  {
    name: 'what-was-not-acked-comes-again',
    says: 'Without acks everything comes again at the next connection',
    async run(stage) {
      const { socket } = await stage.begin({ device: 'phone' })
      const sent = await stage.sendMany(5)
      const came = await take(socket, 5)
      socket.send({ type: 'ack', cursor: came[1].cursor })
      await sleep(GATHERED_MS)
      socket.cut()
      assert.deepEqual(ids((await stage.begin({ device: 'phone' })).missed), sent.slice(2))
    },
  },
  {
    name: 'since-is-no-ack',
    says: '`since` is no ack: a client whose last ack may have been lost with its connection asks from one position earlier',
    async run(stage) {
      const sent = await stage.sendMany(4)
      const first = await stage.begin({ device: 'phone' })
      first.socket.cut()
      const resumed = await stage.begin({ device: 'phone', since: first.missed[2].cursor })
      assert.deepEqual(ids(resumed.missed), sent.slice(3))
      resumed.socket.cut()
      await sleep(GATHERED_MS)
      assert.deepEqual(ids((await stage.begin({ device: 'phone' })).missed), sent)
    },
  },
  {
    name: 'acks-are-of-what-was-written-here',
    says: 'Only cursors that were written on this connection count; others are ignored and counted.',
    async run(stage) {
      const sent = await stage.sendMany(3)
      const reader = await stage.begin({ device: 'reader' })
      const other = await stage.begin({ device: 'phone', since: reader.missed[2].cursor })
      assert.deepEqual(other.missed, [])
      other.socket.send({ type: 'ack', cursor: reader.missed[2].cursor })
      await sleep(GATHERED_MS)
      other.socket.cut()
      assert.deepEqual(ids((await stage.begin({ device: 'phone' })).missed), sent, 'nothing of it was written there')
    },
  },
  {
    name: 'acks-of-one-device-are-not-anothers',
    says: '*Every device* and *once* hold for these.',
    async run(stage) {
      const known = await stage.begin({ device: 'laptop' })
      known.socket.close()
      await known.socket.ended()
      const sent = await stage.sendMany(3)
      await ackedBy(stage, { device: 'phone' }, 3)
      assert.deepEqual(ids((await stage.begin({ device: 'laptop' })).missed), sent)
    },
  },
  {
    name: 'each-log-is-acked-by-its-own-cursors',
    says: 'each is acked by cursors of its own',
    async run(stage) {
      const { socket } = await stage.begin({ device: 'phone' })
      const own = await stage.send()
      const all = await stage.publish()
      await socket.next(({ frame }) => frame?.id === own)
      const { frame } = await socket.next((it) => it.frame?.id === all)
      socket.send({ type: 'ack', cursor: frame.cursor })
      await sleep(GATHERED_MS)
      socket.cut()
      const { missed, toEveryone } = await stage.begin({ device: 'phone' })
      assert.ok(ids(missed).includes(own), 'the inbox was not acked')
      assert.ok(!ids(toEveryone).includes(all), 'the broadcast was')
    },
  },
  {
    name: 'acks-are-not-counted-as-frames',
    says: 'An ack that moves forward over what was written is not counted against `frames_per_second`, so each may be acked when it is handled.',
    async run(stage) {
      await stage.sendMany(200)
      const { socket, missed } = await stage.begin({ device: 'phone' })
      for (const { cursor } of missed) socket.send({ type: 'ack', cursor })
      socket.send({ type: 'ping', ref: 'still' })
      assert.equal((await socket.control('pong')).ref, 'still')
    },
  },
  {
    name: 'broadcasts-that-were-missed',
    says: 'Without acks everything comes again at the next connection (broadcasts and durable channels: what came in the last minute or so, if none of them was ever acked on the connection).',
    async run(stage) {
      const { socket } = await stage.begin({ device: 'phone' })
      socket.cut()
      const id = await stage.publish()
      const { toEveryone, socket: again } = await stage.begin({ device: 'phone' })
      if (!ids(toEveryone).includes(id)) await again.next(({ frame }) => frame?.id === id)
    },
  },
  {
    name: 'expired-is-no-gap',
    says: 'An expired notification is no gap; it is not delivered and that is all.',
    async run(stage) {
      const { socket } = await stage.begin({ device: 'phone' })
      socket.cut()
      await stage.send({ ttl: 1 })
      const lasting = await stage.send()
      await sleep(1_500)
      const { missed, others, welcome } = await stage.begin({ device: 'phone' })
      assert.deepEqual([ids(missed), welcome.recovered, others.filter(({ type }) => type === 'gap')], [[lasting], true, []])
    },
  },
  {
    name: 'position-that-is-no-longer-kept',
    says: '`recovered: false` and a `gap` say that something cannot be had any more; go on from `resume`.',
    async run(stage) {
      const sent = await stage.sendMany(120)
      const all = await ackedBy(stage, { device: 'phone' }, 120)
      sent.push(...await stage.sendMany(3))
      // Another device: whether one is told of a gap that has itself acked everything in it, which it does not miss, the page
      // leaves open.
      const { welcome, missed, others, replayed } = await stage.begin({ device: 'laptop', since: all[0].cursor })
      const gap = others.find(({ type }) => type === 'gap')
      if (!gap) {
        // A server that keeps so many gives them all.
        assert.deepEqual([ids(missed), welcome.recovered], [sent.slice(1), true])
        return
      }
      assert.deepEqual([welcome.recovered, gap.channel, typeof gap.resume], [false, null, 'string'])
      assert.ok(['expired', 'too_many', 'rewound'].includes(gap.reason), gap.reason)
      assert.deepEqual(ids(missed), sent.slice(sent.length - missed.length), 'the newest, in order')
      const { missed: after, welcome: later } = await stage.begin({ device: 'laptop', since: gap.resume })
      assert.deepEqual([ids(after), later.recovered], [ids(missed), true], 'from `resume` on nothing is missing')
      assert.equal(replayed.count, missed.length)
    },
  },
  {
    name: 'position-of-another-history',
    says: 'the store has lost something that it had accepted: it came back empty, or with older data',
    async run(stage) {
      const { welcome } = await stage.begin({ device: 'phone' })
      // Opaque to clients; here one is made that this server never gave out.
      const [, number] = /^(\d+)-\d+$/.exec(welcome.cursor) ?? skip('cursors of this server are of another kind')
      const { others, welcome: again } = await stage.begin({ device: 'phone', since: `${Number(number) + 1_000_000}-1` })
      assert.equal(again.recovered, false)
      assert.equal(others.filter(({ type, channel }) => type === 'gap' && channel === null).length, 1)
    },
  },
  {
    name: 'channel-since',
    says: '**`subscribe`**: `since` replays what followed',
    async run(stage) {
      const channel = stage.name('c')
      const { socket } = await stage.begin()
      socket.send({ type: 'subscribe', channel })
      const { cursor } = await socket.control('subscribed')
      socket.cut()
      const sent = [await stage.publish(channel), await stage.publish(channel)]
      const later = await stage.begin()
      later.socket.send({ type: 'subscribe', channel, since: cursor })
      assert.equal((await later.socket.control('subscribed')).recovered, true)
      const came = await take(later.socket, 2)
      assert.deepEqual([ids(came), came.map(({ replayed }) => replayed)], [sent, [true, true]])
      sent.push(await stage.publish(channel))
      assert.equal((await later.socket.notification()).id, sent[2], 'and then live')
    },
  },
  {
    name: 'durable-subscription',
    says: '`durable` keeps the subscription for this device\'s later connections, which catch up without asking.',
    async run(stage) {
      const channel = stage.name('c')
      const { socket } = await stage.begin({ device: 'phone' })
      socket.send({ type: 'subscribe', channel, durable: true })
      await socket.control('subscribed')
      await sleep(300)
      socket.close()
      await socket.ended()
      const id = await stage.publish(channel)
      const later = await stage.begin({ device: 'phone' })
      if (!ids(later.missed).includes(id)) await later.socket.next(({ frame }) => frame?.id === id)
    },
  },
  {
    name: 'session-that-is-taken-over',
    says: 'a newer connection of it closes the older with 4009',
    async run(stage) {
      const [older, newer] = [await stage.begin({ session: 'tab' }), await stage.begin({ session: 'tab' })]
      assert.equal((await older.socket.ended()).code, 4009)
      const id = await stage.send()
      assert.equal((await newer.socket.notification()).id, id)
      await nothing(newer.socket, 300)
    },
  },
]
