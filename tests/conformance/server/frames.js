// Frames: welcome, notifications, requests and their answers.
import { isToEveryone } from '../src/socket.js'
import { assert, ids, nothing, take } from '../src/stage.js'

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** An error, and that the connection goes on after it. */
async function isError(socket, sent, expected) {
  socket.send(sent)
  const { code, ref, message, retryable } = await socket.control('error')
  assert.equal(code, expected, typeof sent === 'string' ? sent : JSON.stringify(sent))
  assert.equal(typeof message, 'string')
  assert.equal(typeof retryable, 'boolean')
  const isMark = typeof sent.ref === 'number' || (typeof sent.ref === 'string' && sent.ref.length <= 64)
  assert.equal(ref, isMark ? sent.ref : undefined)
  socket.send({ type: 'ping', ref: 'on' })
  assert.equal((await socket.control('pong')).ref, 'on', 'the connection goes on')
}

export default [
  {
    name: 'welcome-is-first-and-complete',
    says: 'A v1 connection begins with `welcome`, then what was missed, in order, then `replayed` with how many',
    async run(stage) {
      const { welcome, replayed } = await stage.begin({ device: 'phone', session: 'tab-1' })
      const { protocol, session, user, device, cursor, recovered, ping_interval_ms, token_expires_at, limits, id } = welcome
      assert.deepEqual([protocol, session, user, device, id], ['carillon.v1', 'tab-1', stage.user, 'phone', undefined])
      assert.equal(typeof cursor, 'string', 'a cursor before any notification')
      assert.equal(recovered, true)
      assert.ok(ping_interval_ms > 0)
      assert.match(token_expires_at, /^\d{4}-\d\d-\d\dT/)
      for (const name of ['frame_bytes', 'channels', 'frames_per_second', 'inbox']) assert.ok(limits[name] > 0, `limits.${name}`)
      assert.equal(replayed.count, 0)
      assert.equal(typeof replayed.cursor, 'string')
    },
  },
  {
    name: 'welcome-without-names',
    says: 'one tab over its reconnects, named like a device; a newer connection of it closes the older with 4009. Absent: a new one',
    async run(stage) {
      const [one, other] = [await stage.begin(), await stage.begin()]
      assert.equal(one.welcome.device, null)
      assert.notEqual(one.welcome.session, other.welcome.session)
    },
  },
  {
    name: 'notification-of-a-user',
    says: '**Personal** notifications have `target_user`; their `channel` is only a label.',
    async run(stage) {
      const { socket } = await stage.begin()
      const id = await stage.send({ notification_type: 'order.shipped', content: 'On its way', data: { order: [4711, null, 'ü'] }, channel: 'label' })
      const came = await socket.notification()
      assert.equal(came.id, id)
      assert.deepEqual([came.type, came.content, came.data, came.target_user, came.channel],
        ['order.shipped', 'On its way', { order: [4711, null, 'ü'] }, stage.user, 'label'])
      assert.match(came.timestamp, RFC3339)
      assert.equal(typeof came.cursor, 'string')
      assert.match(came.expires_at, /^\d{4}-\d\d-\d\dT/)
      assert.equal(came.replayed ?? false, false)
    },
  },
  {
    name: 'notification-of-a-channel-and-to-everyone',
    says: 'Those of a channel have `channel`, those to everyone neither.',
    async run(stage) {
      const { socket } = await stage.begin()
      const channel = stage.name('news')
      socket.send({ type: 'subscribe', channel })
      await socket.control('subscribed')
      const id = await stage.publish(channel)
      const came = (await socket.next(({ frame }) => frame?.id === id)).frame
      assert.deepEqual([came.target_user, came.channel, typeof came.cursor], [null, channel, 'string'])
      const everyone = await stage.publish()
      const broadcast = (await socket.next(({ frame }) => frame?.id === everyone)).frame
      assert.deepEqual([broadcast.target_user, broadcast.channel], [null, null])
    },
  },
  {
    name: 'notifications-come-in-order',
    says: 'from there on notifications come as they are sent',
    async run(stage) {
      const { socket } = await stage.begin()
      const sent = await stage.sendMany(50)
      assert.deepEqual(ids(await take(socket, 50)), sent)
    },
  },
  {
    name: 'every-device-is-given-it',
    says: '*Every device* and *once* hold for these.',
    async run(stage) {
      const [one, other] = [await stage.begin({ device: 'one' }), await stage.begin({ device: 'other' })]
      const id = await stage.send()
      for (const { socket } of [one, other]) assert.equal((await socket.notification()).id, id)
    },
  },
  {
    name: 'types-of-the-protocol-are-refused',
    says: 'Types of the protocol\'s own, which no notification may have',
    async run(stage) {
      for (const notification_type of ['ping', 'welcome', 'error', 'ack', 'gap', 'retracted', 'resume', '$own']) {
        const { status, body } = await stage.call('/api/notifications/send', { target_user: stage.user, notification_type, content: '' })
        assert.deepEqual([status, body.code], [422, 'reserved_type'], notification_type)
      }
    },
  },
  {
    name: 'control-frames-have-no-id',
    says: 'Notifications have an `id`, control frames never do.',
    async run(stage) {
      const { socket } = await stage.begin()
      socket.send({ type: 'ping' })
      socket.send({ type: 'subscribe', channel: stage.name('c') })
      socket.send({ type: 'unsubscribe', channel: 'c' })
      socket.send({ type: 'nonsense' })
      socket.send({ type: 'auth', token: await stage.token() })
      await socket.control('authenticated')
      // Broadcasts of others come to everyone.
      const frames = socket.all.flatMap(({ frame }) => frame && !isToEveryone(frame) ? [frame] : [])
      for (const frame of frames) assert.equal(frame.id, undefined, JSON.stringify(frame))
    },
  },
  {
    name: 'ref-is-echoed',
    says: '**`ref`** (v1): a number or a text of at most 64 bytes on any request, echoed in its answer.',
    async run(stage) {
      const { socket } = await stage.begin()
      for (const ref of [0, 1, -3, 1.5, 'a', 'x'.repeat(64)]) {
        socket.send({ type: 'ping', ref })
        const pong = await socket.control('pong')
        assert.equal(pong.ref, ref)
        assert.match(pong.timestamp, RFC3339)
      }
      const channel = stage.name('c')
      socket.send({ type: 'subscribe', channel, ref: 's' })
      assert.equal((await socket.control('subscribed')).ref, 's')
      socket.send({ type: 'unsubscribe', channel, ref: 'u' })
      assert.equal((await socket.control('unsubscribed')).ref, 'u')
      socket.send({ type: 'auth', token: await stage.token(), ref: 'a' })
      assert.equal((await socket.control('authenticated')).ref, 'a')
      socket.send({ type: 'ping' })
      assert.equal((await socket.control('pong')).ref, undefined, 'none was given')
      for (const ref of [{}, [], true, 'x'.repeat(65)]) await isError(socket, { type: 'ping', ref }, 'invalid_field')
    },
  },
  {
    name: 'unknown-fields-are-ignored',
    says: 'Ignore fields and types that you do not know.',
    async run(stage) {
      const { socket } = await stage.begin()
      socket.send({ type: 'ping', ref: 1, colour: 'red', since: 7 })
      assert.equal((await socket.control('pong')).ref, 1)
    },
  },
  ...[
    ['malformed_frame', ['nonsense', '[]', '7', '{}', '{"type":7}', '""'], 'not JSON, or not one object with a `type`'],
    ['invalid_field', [{ type: 'subscribe' }, { type: 'subscribe', channel: 7, ref: 1 }, { type: 'ack', cursor: 7 }, { type: 'auth' }], 'a field is missing or of the wrong type'],
    ['unknown_type', [{ type: 'dance', ref: 2 }, { type: 'welcome' }], 'a `type` that clients do not send'],
    ['invalid_channel', [{ type: 'subscribe', channel: 'a b', ref: 3 }, { type: 'subscribe', channel: '*' }, { type: 'subscribe', channel: 'x'.repeat(256) }], 'the name breaks the rule for names, or is `*`'],
    ['channel_forbidden', [{ type: 'subscribe', channel: 'private:x', ref: 4 }, { type: 'subscribe', channel: 'user:somebody-else' }], 'the token does not allow this channel'],
  ].map(([code, frames, says]) => ({
    name: `error-${code}`,
    says,
    async run(stage) {
      const { socket } = await stage.begin()
      for (const frame of frames) await isError(socket, frame, code)
    },
  })),
  {
    name: 'channels-that-a-token-allows',
    says: '`channels` is a list of names and globs (`private:team-*`).',
    async run(stage) {
      const { socket } = await stage.begin({ token: await stage.token({ channels: ['private:team-*', 'private:one'] }) })
      for (const channel of ['private:team-red', 'private:one', `user:${stage.user}`]) {
        socket.send({ type: 'subscribe', channel })
        assert.equal((await socket.control('subscribed')).channel, channel)
      }
      await isError(socket, { type: 'subscribe', channel: 'private:two' }, 'channel_forbidden')
    },
  },
  {
    name: 'subscribe-and-unsubscribe',
    says: 'Subscribing twice is once.',
    async run(stage) {
      const { socket } = await stage.begin()
      const channel = stage.name('c')
      for (const ref of [1, 2]) {
        socket.send({ type: 'subscribe', channel, ref })
        const subscribed = await socket.control('subscribed')
        assert.deepEqual([subscribed.channel, subscribed.ref, typeof subscribed.cursor, subscribed.recovered], [channel, ref, 'string', true])
      }
      const id = await stage.publish(channel)
      assert.equal((await socket.notification()).id, id)
      socket.send({ type: 'unsubscribe', channel })
      assert.equal((await socket.control('unsubscribed')).channel, channel)
      await stage.publish(channel)
      await nothing(socket, 500, (frame) => frame.channel === channel)
    },
  },
  {
    name: 'broadcasts-need-no-subscription',
    says: 'Broadcasts to everyone need no subscription.',
    async run(stage) {
      const { socket } = await stage.begin()
      const id = await stage.publish()
      await socket.next(({ frame }) => frame?.id === id)
    },
  },
  {
    name: 'more-channels-than-may-be',
    says: 'more than `limits.channels`, all of them asked for on this connection',
    async run(stage) {
      const { socket, welcome: { limits } } = await stage.begin()
      if (limits.channels > 200) return
      for (let n = 0; n <= limits.channels; n++) {
        socket.send({ type: 'subscribe', channel: stage.name('many'), ref: n })
        await socket.next(({ frame }) => frame && !frame.id, 10_000)
        if (n > 40) await new Promise((resolve) => { setTimeout(resolve, 1_100 / limits.frames_per_second) })
      }
      const answers = socket.all.flatMap(({ frame }) => frame?.ref === undefined ? [] : [frame])
      assert.deepEqual(answers.slice(0, -1).filter(({ type }) => type !== 'subscribed'), [])
      assert.deepEqual([answers.at(-1).type, answers.at(-1).code], ['error', 'too_many_channels'])
    },
  },
]
